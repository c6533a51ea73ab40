"""The sizes of the model, as data. One frozen dataclass of parameters describes a whole model.

`nano` is trained and shipped; `small` and `base` are the same architecture at more width and depth and have
no checkpoint. `python -m edgecore_aiprod.presets` prints how many parameters each has. Only that imports
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

SPATIAL, TEMPORAL = 16, 4  # pixels and frames a latent cell covers, along each axis
TERMS = 500  # of the video vocabulary
_DEEPEST, _WIDEST = 1_000, 65_536  # blocks and channels that a checkpoint may ask for
_DEPTHS = ("depth", "encoder_depth", "decoder_depth", "low", "high")


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
    sharpen: int = 8  # features of a pixel that the decoder's last two convolutions see


@dataclass(frozen=True)
class TextParams:
    """The byte-level encoder: bytes → convolution → every `stride` bytes one token → transformer."""

    byte_width: int
    width: int
    depth: int
    heads: int
    registers: int  # vectors a prompt becomes
    stride: int = 4
    out: int = 256  # the text width the backbone attends to


@dataclass(frozen=True)
class Mt5Params:
    """mT5's encoder, frozen and from a folder of its own → projection → transformer."""

    files: Mapping[str, str]  # SHA-256 by name of what that folder holds: weights, tokens, config
    states: int  # channels of mT5's states, 768 in mT5-base
    width: int
    depth: int
    heads: int
    registers: int
    out: int = 256
    kind: Literal["mt5"] = "mt5"


@dataclass(frozen=True)
class BackboneParams:
    """`blocks` is one letter a block: A is attention, C is convolution."""

    blocks: str
    width: int
    heads: int
    feed_forward: int
    conv_expansion: int = 4


@dataclass(frozen=True)
class UpsamplerParams:
    """Residual blocks before (`low`) and after (`high`) the latent grid is made twice as fine."""

    width: int
    low: int
    high: int


@dataclass(frozen=True)
class ModelParams:
    name: str
    vae: VaeParams
    text: TextParams | Mt5Params
    backbone: BackboneParams
    upsampler: UpsamplerParams | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelParams:
        """Raises KeyError, TypeError or ValueError on a missing or unknown key and on what is no size."""
        vae, text = dict(values["vae"]), dict(values["text"])
        vae |= {"encoder": tuple(vae["encoder"]), "decoder": tuple(vae["decoder"])}
        upsampler = values.get("upsampler")
        params = cls(
            name=values["name"],
            vae=VaeParams(**vae),
            text=Mt5Params(**text) if text.get("kind") == "mt5" else TextParams(**text),
            backbone=BackboneParams(**values["backbone"]),
            upsampler=None if upsampler is None else UpsamplerParams(**upsampler),
        )
        if not isinstance(params.name, str):
            raise TypeError(f"name must be text, not {params.name!r}")
        for part in (params.vae, params.text, params.backbone, params.upsampler):
            if part is not None:
                _check_sizes(part)
        return params


def _check_sizes(part: VaeParams | TextParams | Mt5Params | BackboneParams | UpsamplerParams) -> None:
    """Before anything is built from numbers that a file states: raises ValueError naming the first that is
    none, or is far beyond any model.
    """
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name == "blocks":
            if not isinstance(value, str) or not 1 <= len(value) <= _DEEPEST or set(value) - set("AC"):
                raise ValueError(f"blocks must be 1 to {_DEEPEST} letters A and C")
        elif field.name in ("encoder", "decoder"):
            if len(value) != 3 or not all(_is_size(channels, _WIDEST) for channels in value):
                raise ValueError(f"{field.name} must be three whole numbers from 1 to {_WIDEST}, not {value}")
        elif field.name == "files":
            if not isinstance(value, Mapping):
                raise TypeError(f"files must be an object, not {value!r}")
        elif field.name != "kind":
            most = _DEEPEST if field.name in _DEPTHS else _WIDEST
            if not _is_size(value, most):
                raise ValueError(f"{field.name} must be a whole number from 1 to {most}, not {value!r}")


def _is_size(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


PRESETS: dict[str, ModelParams] = {
    "nano": ModelParams(
        name="nano",
        vae=VaeParams(
            encoder=(64, 128, 192), decoder=(96, 144, 192), encoder_depth=1, decoder_depth=2, heads=4
        ),
        text=TextParams(byte_width=64, width=128, depth=3, heads=4, registers=6),
        backbone=BackboneParams(blocks="ACCACCACC", width=256, heads=4, feed_forward=768),
        upsampler=UpsamplerParams(width=96, low=3, high=2),
    ),
    "small": ModelParams(
        name="small",
        vae=VaeParams(
            encoder=(96, 192, 384), decoder=(128, 256, 512), encoder_depth=2, decoder_depth=3, heads=8
        ),
        text=TextParams(byte_width=128, width=256, depth=6, heads=4, registers=32),
        backbone=BackboneParams(blocks="AACAACAC" * 2, width=512, heads=8, feed_forward=2048),
    ),
    "base": ModelParams(
        name="base",
        vae=VaeParams(
            encoder=(128, 256, 512), decoder=(192, 384, 768), encoder_depth=2, decoder_depth=4, heads=8
        ),
        text=TextParams(byte_width=256, width=512, depth=8, heads=8, registers=128),
        backbone=BackboneParams(blocks="AACAACAC" * 6, width=768, heads=12, feed_forward=3072),
    ),
}


def count_parameters(params: ModelParams) -> dict[str, int]:
    """By part, without making any of them."""
    import torch

    from edgecore_aiprod.model import build_model, networks

    with torch.device("meta"):
        model = build_model(params)
    return {
        part: sum(weight.numel() for weight in getattr(model, part).parameters()) for part in networks(model)
    }


def main() -> int:
    counts = {name: count_parameters(params) for name, params in PRESETS.items()}
    parts = dict.fromkeys(part for count in counts.values() for part in count)
    print("| preset | blocks (attention + convolution) | width |", " | ".join([*parts, "all"]), "|")
    print("|---" * (len(parts) + 4) + "|")
    for name, count in counts.items():
        backbone = PRESETS[name].backbone
        blocks = f"{len(backbone.blocks)} ({backbone.blocks.count('A')} + {backbone.blocks.count('C')})"
        cells = [f"{count[part]:,}" if part in count else "–" for part in parts] + [
            f"{sum(count.values()):,}"
        ]
        print(f"| `{name}` | {blocks} | {backbone.width} |", " | ".join(cells), "|")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
