"""The attention-only twin of a backbone: what the hybrid is measured against."""

from __future__ import annotations

from dataclasses import replace

import torch

from edgecore_aiprod.backbone import Backbone
from edgecore_aiprod.presets import BackboneParams

_CLOSE = 0.01  # share by which the twins' numbers of parameters may differ
_MULTIPLE = 8  # of the feed-forward's width: odd ones are slow in bfloat16, which would flatter the hybrid


def attention_twin(params: BackboneParams, latent: int, context: int) -> BackboneParams:
    """As many blocks of the same width, all attention, with a feed-forward that makes the parameters equal.

    Raises ValueError where no feed-forward brings them within one per cent.
    """
    hybrid = parameters(params, latent, context)
    pure = replace(params, blocks="A" * len(params.blocks))
    one, two = (
        parameters(replace(pure, feed_forward=width), latent, context) for width in (_MULTIPLE, 2 * _MULTIPLE)
    )
    twin = replace(pure, feed_forward=_MULTIPLE * max(1, 1 + round((hybrid - one) / (two - one))))
    if abs(parameters(twin, latent, context) / hybrid - 1.0) > _CLOSE:
        raise ValueError(f"no feed-forward gives {pure.blocks} as many parameters as {params.blocks}")
    return twin


def parameters(params: BackboneParams, latent: int, context: int) -> int:
    """How many a backbone has; counted without making them."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in Backbone(params, latent, context).parameters())
