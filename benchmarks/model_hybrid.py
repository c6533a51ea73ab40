"""The speed of the hybrid backbone beside its attention-only twin: as many parameters, blocks and channels.

`make bench NAME=model-hybrid`: one pass of nano at three sizes, the largest the most that is accepted, two hundred
times each; the passes forward and back that a training step of nano takes, forty times; one pass of `base`,
untrained, at 121 frames of 256×256 (7,936 tokens) in bfloat16, three times each; all in turn. Five minutes on
two cores. What both sides of nano learn is `model-twin`'s question.
"""

import argparse
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.result import conditions, figure
from benchmarks.twins import FASTER, RATIO
from edgecore_aiprod.backbone import Backbone
from edgecore_aiprod.evaluation.speed import Size, forward, hybrid_and_twin, in_turn
from edgecore_aiprod.flow import latent_shape
from edgecore_aiprod.presets import PRESETS, ModelParams
from edgecore_aiprod.twin import attention_twin, parameters

SIZES = (Size(17, 64, 64), Size(17, 128, 128), Size(33, 128, 128))
"""Of nano's passes: 80, 320 and 576 tokens."""
REPEATS, STEPS = 201, 41
BATCH = 32
"""Clips of 17×64×64 in a training step, as nano's backbone was trained."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="base", help="of the last part (default base)"
    )
    parser.add_argument("--frames", type=int, default=121, help="of the last part, 4k+1 (default 121)")
    parser.add_argument("--side", type=int, default=256, help="of the last part, in pixels (default 256)")
    parser.add_argument("--repeats", type=int, default=3, help="passes a side in the last part (default 3)")


def run(seed: int, preset: str = "base", frames: int = 121, side: int = 256, repeats: int = 3) -> dict[str, Any]:
    torch.set_num_threads(2)
    torch.manual_seed(seed)
    figures = [_pass(PRESETS["nano"], size, REPEATS, bfloat16=False) for size in SIZES]
    figures.append(_training_step(PRESETS["nano"]))
    figures.append(_pass(PRESETS[preset], Size(frames, side, side), repeats, bfloat16=True))
    notes = [
        RATIO,
        f"{preset}: untrained, bfloat16; nano: float32; medians of passes in turn, after one each uncounted",
        *(_sizes(PRESETS[name]) for name in dict.fromkeys(("nano", preset))),
        conditions(),
    ]
    return {"name": "model-hybrid", "figures": figures, "notes": notes}


def _pass(params: ModelParams, size: Size, repeats: int, bfloat16: bool) -> dict[str, Any]:
    """Milliseconds of one pass, and how much faster than the twin's."""
    registers_RE = torch.randn(params.text.registers, params.text.out)
    passes = [
        forward(one, size, params.vae.latent, registers_RE, bfloat16) for one in hybrid_and_twin(params, bfloat16)
    ]
    name = f"{params.name}: one pass, {size.frames}×{size.height}×{size.width}"
    return _compared(name, passes, repeats)


def _training_step(params: ModelParams) -> dict[str, Any]:
    """The same of forward and back, for the gradient of every weight."""
    x_BTHWC = torch.randn(latent_shape(BATCH, *SIZES[0], params.vae.latent))
    t_B = torch.rand(BATCH)
    registers_BRE = torch.randn(BATCH, params.text.registers, params.text.out)

    def step(backbone: Backbone) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = (backbone(x_BTHWC, t_B, registers_BRE) - x_BTHWC).square().mean()
        loss.backward()
        backbone.zero_grad()

    steps = [functools.partial(step, one.requires_grad_()) for one in hybrid_and_twin(params)]
    return _compared(f"{params.name}: forward and back, {BATCH} clips, bfloat16", steps, STEPS)


def _compared(name: str, sides: Sequence[Callable[[], object]], repeats: int) -> dict[str, Any]:
    hybrid, twin = in_turn(sides, repeats)
    ratio = twin / hybrid
    return figure(name, 1000 * hybrid, "ms", target=f"≥ {FASTER}× faster", ok=ratio >= FASTER, n=repeats,
                  baseline=1000 * twin, ratio=ratio)  # fmt: skip


def _sizes(params: ModelParams) -> str:
    latent, context = params.vae.latent, params.text.out
    twin = attention_twin(params.backbone, latent, context)
    counts = [parameters(one, latent, context) / 1e6 for one in (params.backbone, twin)]
    return (
        f"{params.name}: {params.backbone.blocks} of {counts[0]:.2f} million parameters; "
        f"twin {twin.blocks} with a feed-forward of {twin.feed_forward}, {counts[1]:.2f} million"
    )
