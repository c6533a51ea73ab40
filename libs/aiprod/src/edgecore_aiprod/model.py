"""The networks of a model, together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from edgecore_aiprod.adapter import Adapter
from edgecore_aiprod.backbone import Backbone
from edgecore_aiprod.mt5 import Mt5TextEncoder
from edgecore_aiprod.presets import ModelParams, Mt5Params
from edgecore_aiprod.text import TextEncoder
from edgecore_aiprod.upsampler import LatentUpsampler
from edgecore_aiprod.vae import VideoVae

if TYPE_CHECKING:
    from edgecore_aiprod.lora import Attached

PARTS = ("vae", "text", "backbone")
UPSAMPLER, DISTILLED = "upsampler", "distilled"  # those that may be missing


@dataclass(frozen=True)
class Model:
    """The networks, in float32 and evaluation mode."""

    params: ModelParams
    vae: VideoVae
    text: TextEncoder | Mt5TextEncoder
    backbone: Backbone
    upsampler: LatentUpsampler | None = None  # of the second stage
    distilled: Adapter | None = None  # makes the backbone the distilled variant while attached
    #: By name; `lora` attaches and detaches them.
    adapters: dict[str, Attached] = field(default_factory=dict, repr=False, compare=False)
    #: What config.json says of how the weights were made, by lesson, and of what was measured on them.
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Sequence[Mapping[str, Any]] = ()


def build_model(params: ModelParams, mt5: Path | None = None) -> Model:
    """A model with fresh weights; `mt5` is the folder of an mT5, where `params` names one (see `mt5`)."""
    model = Model(
        params,
        VideoVae(params.vae),
        Mt5TextEncoder(params.text, mt5) if isinstance(params.text, Mt5Params) else TextEncoder(params.text),
        Backbone(params.backbone, params.vae.latent, params.text.out),
        None if params.upsampler is None else LatentUpsampler(params.upsampler, params.vae.latent),
    )
    for part in networks(model):
        network: nn.Module = getattr(model, part)
        network.eval().requires_grad_(False)
    return model


def networks(model: Model) -> tuple[str, ...]:
    """Names of the parts that are there."""
    return PARTS if model.upsampler is None else (*PARTS, UPSAMPLER)
