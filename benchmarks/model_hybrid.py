"""The hybrid backbone beside its attention-only twin: as many parameters, blocks and channels, attention alone.

`make bench NAME=model-hybrid` has three parts.
- `nano`, trained: both sides learn the committed curriculum, shortened to 600 steps each, from the same data and
  seeds, step by step in turn; then they make the same clips. About half an hour on two cores. More steps say more:
  `ARGS="--steps 5000"` is the whole curriculum, some four hours. `--trained no` leaves this part out.
- `nano`'s pass at three sizes, the largest being the most that is accepted, forty times each, in turn.
- `base`, untrained: one pass at 121 frames of 256×256 (7,936 tokens) in bfloat16, three times each, in turn. About
  seven minutes.
Autoencoder and text encoder are the checkpoint's (the shipped one's, or `--checkpoint DIR`).
"""

import argparse
import os
from pathlib import Path
from typing import Any

import torch

from benchmarks import checkpoint as judged
from benchmarks.result import figure
from benchmarks.twins import Side, evaluate, train
from edgecore_aiprod.evaluation.speed import Size, forward, in_turn, untrained
from edgecore_aiprod.presets import PRESETS, ModelParams
from edgecore_aiprod.twin import attention_twin, parameters

FASTER = 1.2
SIZES = (Size(17, 64, 64), Size(17, 128, 128), Size(33, 128, 128))
"""Of nano's passes, up to the largest that is accepted: 80, 320 and 576 tokens."""
CONFIG = Path("libs/aiprod/configs/nano/backbone.toml")


def add_options(parser: argparse.ArgumentParser) -> None:
    judged.add_options(parser, 200, "clips that each trained side makes")
    parser.add_argument(
        "--trained", choices=["yes", "no"], default="yes", help="train the twins of nano (default yes)"
    )
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the training (default nano's)")
    parser.add_argument("--steps", type=int, default=600, help="of the whole curriculum, each side (default 600)")
    parser.add_argument("--bank", type=int, default=2048, help="clips to learn from (default 2048)")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="base", help="of the last part (default base)"
    )
    parser.add_argument("--frames", type=int, default=121, help="of the last part, 4k+1 (default 121)")
    parser.add_argument("--side", type=int, default=256, help="of the last part, in pixels (default 256)")
    parser.add_argument("--repeats", type=int, default=3, help="passes a side in the last part (default 3)")


def run(
    seed: int,
    checkpoint: Path | None = None,
    clips: int = 200,
    trained: str = "yes",
    config: Path = CONFIG,
    steps: int = 600,
    bank: int = 2048,
    preset: str = "base",
    frames: int = 121,
    side: int = 256,
    repeats: int = 3,
) -> dict[str, Any]:
    figures: list[dict[str, Any]] = []
    pipeline = judged.open_pipeline(checkpoint)
    notes = ["beside: the attention-only twin; a ratio of speed is the twin's time over the hybrid's"]
    if trained == "yes":
        sides = train(pipeline, config, steps, bank)
        hybrid, twin = (evaluate(pipeline, one, clips, seed) for one in sides)
        figures += _trained(sides, hybrid, twin, clips)
        notes += [
            f"nano: {steps} steps of {config.name} each, from {bank} clips",
            f"all three right, hybrid: {judged.at_95(hybrid['all'], clips)}; "
            f"twin: {judged.at_95(twin['all'], clips)}",
        ]
    torch.set_num_threads(2)
    for size in SIZES:
        figures.append(_pass(pipeline.model.params, size, repeats=41, bfloat16=False))
    figures.append(_pass(PRESETS[preset], Size(frames, side, side), repeats, bfloat16=True))
    notes += [
        f"{preset}: untrained, bfloat16; nano: float32; medians of passes in turn, after one each uncounted",
        *(_sizes(PRESETS[name]) for name in dict.fromkeys(("nano", preset))),
        f"the machine's load after 1, 5, 15 minutes: {', '.join(f'{one:.1f}' for one in os.getloadavg())}",
    ]
    return {"name": "model-hybrid", "figures": figures, "notes": notes}


def _trained(
    sides: tuple[Side, Side], hybrid: dict[str, float], twin: dict[str, float], clips: int
) -> list[dict[str, Any]]:
    mine, theirs = sides
    accuracy = judged.shares(["colour", "shape", "motion", "all"], hybrid, twin, {})
    accuracy[-1] |= {"target": "≥ twin", "ok": hybrid["all"] >= twin["all"]}
    for one in accuracy:
        one["name"] = f"nano trained: {one['name']}"
    rows = [
        ("nano trained: loss on fresh draws", mine.loss, theirs.loss, "", mine.loss / theirs.loss),
        ("nano: one training step", mine.step_ms, theirs.step_ms, "ms", theirs.step_ms / mine.step_ms),
    ]
    return accuracy + [
        figure(name, value, unit, target="stated", ok=True, n=mine.steps, baseline=beside, ratio=ratio)
        for name, value, beside, unit, ratio in rows
    ]


def _pass(params: ModelParams, size: Size, repeats: int, bfloat16: bool) -> dict[str, Any]:
    """Milliseconds of one pass, and how much faster than the twin's."""
    latent, context = params.vae.latent, params.text.out
    registers_RE = torch.randn(params.text.registers, context)
    backbones = (params.backbone, attention_twin(params.backbone, latent, context))
    passes = [
        forward(untrained(one, latent, context, bfloat16), size, latent, registers_RE, bfloat16)
        for one in backbones
    ]
    hybrid, twin = in_turn(passes, repeats)
    name = f"{params.name}: one pass, {size.frames}×{size.height}×{size.width}"
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
