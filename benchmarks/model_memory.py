"""Memory of one pass of `base` beside attention alone, untrained, in bfloat16, each in a process of its own.

`make bench NAME=model-memory`: 121 frames of 256×256, which are 7,936 tokens; about three minutes on two
cores, and 2 GB of memory. Two pure-attention sides: `base` with attention in the place of every convolution
(which makes it larger), and the twin of equal parameters.
"""

import argparse
from dataclasses import replace
from typing import Any

import torch
from rich.progress import track

from benchmarks.result import figure
from edgecore_aiprod.evaluation.speed import Size, peak_memory
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.twin import attention_twin

MOST = 1.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=sorted(PRESETS), default="base")
    parser.add_argument("--frames", type=int, default=121, help="4k+1 (default 121)")
    parser.add_argument("--side", type=int, default=256, help="pixels, a multiple of 16 (default 256)")


def run(seed: int, preset: str = "base", frames: int = 121, side: int = 256) -> dict[str, Any]:
    torch.set_num_threads(2)
    params = PRESETS[preset]
    latent, context, hybrid = params.vae.latent, params.text.out, params.backbone
    sides = {
        "hybrid": hybrid,
        "pure": replace(hybrid, blocks="A" * len(hybrid.blocks)),
        "twin": attention_twin(hybrid, latent, context),
    }
    size = Size(frames, side, side)
    peak = {
        name: peak_memory(one, size, latent, context, params.text.registers, bfloat16=True)
        for name, one in track(sides.items(), "passes")
    }
    beside = {"pure": f"{preset} with attention alone", "twin": "its twin of equal parameters"}
    figures: list[dict[str, Any]] = []
    for other, name in beside.items():
        mine, theirs = peak["hybrid"], peak[other]
        figures += [
            _figure(f"memory of {preset}, beside {name}", mine["peak"], theirs["peak"], MOST),
            _figure("of which weights", mine["weights"], theirs["weights"]),
            _figure("of which the pass itself", _of_the_pass(mine), _of_the_pass(theirs)),
        ]
    cells = ((frames - 1) // 4 + 1) * (side // 16) ** 2
    notes = [
        f"{frames} frames of {side}×{side}: {cells} tokens; matrices and activations in bfloat16, random weights",
        f"Python and its libraries alone hold {peak['hybrid']['before'] / 1e6:.0f} MB of each side",
    ]
    return {"name": "model-memory", "figures": figures, "notes": notes}


def _of_the_pass(peak: dict[str, int]) -> int:
    """Beyond libraries and weights."""
    return peak["peak"] - peak["before"] - peak["weights"]


def _figure(name: str, value: int, beside: int, most: float | None = None) -> dict[str, Any]:
    ratio = value / beside
    target = "stated" if most is None else f"≤ {most:.0%}"
    ok = most is None or ratio <= most
    return figure(name, value / 1e6, "MB", target=target, ok=ok, n=1, baseline=beside / 1e6, ratio=ratio)
