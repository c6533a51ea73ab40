"""Speed and memory of a backbone beside its attention-only twin: both sides measured in turn, in one run.

Weights are random: neither speed nor memory depends on their values.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from edgecore_aiprod.backbone import Backbone
from edgecore_aiprod.flow import latent_shape
from edgecore_aiprod.presets import BackboneParams, ModelParams
from edgecore_aiprod.twin import attention_twin


class Size(NamedTuple):
    """Of a clip in pixels."""

    frames: int
    height: int
    width: int


def untrained(params: BackboneParams, latent: int, context: int, bfloat16: bool = False) -> Backbone:
    """A backbone of random weights, in evaluation mode; never larger in memory than at the end.

    With `bfloat16` the matrices are stored so; norms and depthwise kernels stay float32, as autocast needs.
    """
    with torch.device("meta"):
        backbone = Backbone(params, latent, context)
        for layer in backbone.modules():
            if bfloat16 and isinstance(layer, nn.Linear):
                layer.to(torch.bfloat16)
    backbone.to_empty(device="cpu").eval().requires_grad_(False)
    for weight in backbone.parameters():
        weight.normal_(std=0.02)
    return backbone


def hybrid_and_twin(params: ModelParams, bfloat16: bool = False) -> list[Backbone]:
    """The preset's backbone and its attention-only twin, both of random weights."""
    latent, context = params.vae.latent, params.text.out
    twin = attention_twin(params.backbone, latent, context)
    return [untrained(one, latent, context, bfloat16) for one in (params.backbone, twin)]


def forward(
    backbone: Backbone, size: Size, latent: int, registers_RE: Tensor, bfloat16: bool = False
) -> Callable[[], Tensor]:
    """One pass of one clip of `size`, ready to be called."""
    x_BTHWC = torch.randn(latent_shape(1, *size, latent))
    t_B = torch.tensor([0.9])

    def once() -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            x0_BTHWC: Tensor = backbone(x_BTHWC, t_B, registers_RE[None])
            return x0_BTHWC

    return once


def in_turn(sides: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each; all are called once before, then one after the other, `repeats` times, so that
    whatever else the machine does hits all alike.
    """
    for side in sides:
        side()
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for side, spent in zip(sides, seconds, strict=True):
            started = time.perf_counter()
            side()
            spent.append(time.perf_counter() - started)
    return [float(np.median(spent)) for spent in seconds]


def compare(params: ModelParams, size: Size, repeats: int) -> dict[str, Any]:
    """Seconds of one pass of the preset's backbone and of its twin, in float32."""
    registers_RE = torch.randn(params.text.registers, params.text.out)
    sides = [forward(one, size, params.vae.latent, registers_RE) for one in hybrid_and_twin(params)]
    hybrid, attention = in_turn(sides, repeats)
    return {
        "size": list(size),
        "repeats": repeats,
        "hybrid_seconds": hybrid,
        "twin_seconds": attention,
        "ratio": attention / hybrid,
    }


def peak_memory(
    params: BackboneParams, size: Size, latent: int, context: int, registers: int, bfloat16: bool = False
) -> dict[str, int]:
    """Bytes resident at most during one pass, in a process of its own, and before the backbone was made."""
    asked = {
        "params": asdict(params),
        "size": list(size),
        "latent": latent,
        "context": context,
        "registers": registers,
        "bfloat16": bfloat16,
        "threads": torch.get_num_threads(),
    }
    command = [sys.executable, "-m", "edgecore_aiprod.evaluation.footprint"]
    ended = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    answer: dict[str, int] = json.loads(ended.stdout)
    return answer
