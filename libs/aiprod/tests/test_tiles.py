"""A latent decoded in tiles is the latent decoded whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgecore_aiprod.presets import PRESETS, VaeParams
from edgecore_aiprod.tiles import TILE, decode_tiles, decoder_reach
from edgecore_aiprod.vae import Decoder, VideoVae

TINY = VaeParams(
    patch=4, latent=8, encoder=(4, 4, 4), decoder=(4, 4, 8), encoder_depth=1, decoder_depth=1, heads=2
)


def decoder_of(params: VaeParams) -> Decoder:
    """With every branch at work: a new network's residual branches are zero."""
    torch.manual_seed(0)
    decoder = Decoder(params)
    for layer in decoder.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.3)
    return decoder.eval()


@pytest.mark.parametrize(("height", "width", "tile"), [(9, 7, 3), (8, 8, 4), (5, 11, 6), (2, 2, 4)])
@pytest.mark.parametrize("depth", [1, 2])
@torch.no_grad()
def test_tiles_are_the_whole(depth: int, height: int, width: int, tile: int) -> None:
    params = replace(TINY, decoder_depth=depth)
    decoder = decoder_of(params)
    z_BTHWC = torch.randn(2, 3, height, width, params.latent)
    made = decode_tiles(decoder, z_BTHWC, decoder_reach(params), tile)
    torch.testing.assert_close(made, decoder(z_BTHWC), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("depth", [1, 2])
@torch.no_grad()
def test_the_reach_is_no_larger_than_it_must_be(depth: int) -> None:
    params = replace(TINY, decoder_depth=depth)
    decoder, z_BTHWC = decoder_of(params), torch.randn(1, 2, 3, 24, params.latent)
    short = decode_tiles(decoder, z_BTHWC, decoder_reach(params) - 1, 12)
    assert not torch.allclose(short, decoder(z_BTHWC), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("preset", "cells"), [("nano", 4), ("small", 6), ("base", 8)])
def test_the_reach_of_the_presets(preset: str, cells: int) -> None:
    assert decoder_reach(PRESETS[preset].vae) == cells


@torch.no_grad()
def test_a_large_clip_is_decoded_in_tiles() -> None:
    vae = VideoVae(TINY).eval()
    seen: list[torch.Size] = []
    vae.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    assert vae.decode(torch.randn(1, 2, TILE + 1, TILE, TINY.latent)).shape == (
        1,
        5,
        16 * TILE + 16,
        16 * TILE,
        3,
    )
    assert [shape[2] for shape in seen] == [TILE + 1, 1 + vae.reach]
