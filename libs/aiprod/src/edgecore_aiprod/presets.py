"""The sizes of the model, as data. One frozen dataclass of parameters describes a whole model.

`nano` is trained and shipped; `small` and `base` are the same architecture at more width and depth and have
no checkpoint. This module imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SPATIAL, TEMPORAL = 16, 4  # pixels and frames a latent cell covers, along each axis


@dataclass(frozen=True)
class VaeParams:
    """Channels by level: the patches at 1/4 size, then 1/8 and half the frames, then 1/16 and a quarter."""

    encoder: tuple[int, int, int]
    decoder: tuple[int, int, int]
    encoder_depth: int  # residual blocks a level
    decoder_depth: int
    heads: int  # of the temporal attention
    latent: int = 256
    patch: int = 4  # pixels folded into channels before the first convolution


@dataclass(frozen=True)
class TextParams:
    """The byte-level encoder: bytes → convolution → every `stride` bytes one token → transformer."""

    byte_width: int
    width: int
    depth: int
    heads: int
    stride: int = 4
    out: int = 256  # the text width the backbone attends to


@dataclass(frozen=True)
class BackboneParams:
    """`blocks` is one letter a block: A is attention, C is convolution."""

    blocks: str
    width: int
    heads: int
    feed_forward: int
    conv_expansion: int = 2


@dataclass(frozen=True)
class ModelParams:
    name: str
    vae: VaeParams
    text: TextParams
    backbone: BackboneParams

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelParams:
        """Raises KeyError or TypeError on a missing or unknown key."""
        vae = dict(values["vae"])
        vae |= {"encoder": tuple(vae["encoder"]), "decoder": tuple(vae["decoder"])}
        return cls(
            name=values["name"],
            vae=VaeParams(**vae),
            text=TextParams(**values["text"]),
            backbone=BackboneParams(**values["backbone"]),
        )


PRESETS: dict[str, ModelParams] = {
    "nano": ModelParams(
        name="nano",
        vae=VaeParams(
            encoder=(64, 128, 192), decoder=(96, 144, 192), encoder_depth=1, decoder_depth=2, heads=4
        ),
        text=TextParams(byte_width=64, width=128, depth=3, heads=4),
        backbone=BackboneParams(blocks="ACACACAA", width=256, heads=4, feed_forward=768),
    ),
    "small": ModelParams(
        name="small",
        vae=VaeParams(
            encoder=(96, 192, 384), decoder=(128, 256, 512), encoder_depth=2, decoder_depth=3, heads=8
        ),
        text=TextParams(byte_width=128, width=256, depth=6, heads=4),
        backbone=BackboneParams(blocks="AACAACAC" * 2, width=512, heads=8, feed_forward=2048),
    ),
    "base": ModelParams(
        name="base",
        vae=VaeParams(
            encoder=(128, 256, 512), decoder=(192, 384, 768), encoder_depth=2, decoder_depth=4, heads=8
        ),
        text=TextParams(byte_width=256, width=512, depth=8, heads=8),
        backbone=BackboneParams(blocks="AACAACAC" * 6, width=768, heads=12, feed_forward=3072),
    ),
}
