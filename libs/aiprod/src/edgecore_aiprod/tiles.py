"""Decoding a latent tile by tile, for clips whose features would not fit into memory at once.

The decoder sees all of the past but only so far in space. A tile that is decoded with as many cells around it
as the decoder reaches comes out as it does in the whole: nothing is blended, and there is no seam to hide.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from edgecore_aiprod.presets import SPATIAL, VaeParams

TILE = 16  # latent cells a side, 256 pixels


def decoder_reach(params: VaeParams) -> int:
    """Latent cells that a pixel depends on beyond its own, to each side: one for every 3×3 convolution on
    cells, a half, a quarter and a pixel for those on finer grids.
    """
    blocks = params.decoder_depth * (1.0 + 1.0 / 2.0 + 1.0 / 4.0)
    outlet, sharpener = params.patch / SPATIAL, 1.0 / SPATIAL
    return math.ceil(blocks + outlet + sharpener)


def decode_tiles(decode: Callable[[Tensor], Tensor], z_BTHWC: Tensor, reach: int, tile: int = TILE) -> Tensor:
    """(B, T, H, W, C) → pixels, `tile` cells of height and width at a time."""
    height, width = z_BTHWC.shape[2:4]
    rows = []
    for cells_H, pixels_H in _spans(height, tile, reach):
        row = [
            decode(z_BTHWC[:, :, cells_H, cells_W])[:, :, pixels_H, pixels_W]
            for cells_W, pixels_W in _spans(width, tile, reach)
        ]
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)


def _spans(length: int, tile: int, reach: int) -> list[tuple[slice, slice]]:
    """Along one side: the cells to decode, and which of their pixels are the tile's."""
    spans = []
    for start in range(0, length, tile):
        end = min(start + tile, length)
        first = max(0, start - reach)
        pixels = slice((start - first) * SPATIAL, (end - first) * SPATIAL)
        spans.append((slice(first, min(length, end + reach)), pixels))
    return spans
