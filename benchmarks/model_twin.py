"""What nano's hybrid backbone learns beside its attention-only twin of as many parameters, blocks and channels.

`make bench NAME=model-twin`: both sides learn the committed curriculum, shortened to 600 steps each, from the
same data and seeds, step by step in turn; then they make the same clips. A quarter of an hour on two cores. More
steps say more: 2,000 take 35 minutes, `ARGS="--steps 5000"` is the whole curriculum, some 80. Autoencoder and
text encoder are the checkpoint's (the shipped one's, or `--checkpoint DIR`).
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import checkpoint as judged
from benchmarks.result import figure
from benchmarks.twins import FASTER, RATIO, evaluate, train

CONFIG = Path("libs/aiprod/configs/nano/backbone.toml")


def add_options(parser: argparse.ArgumentParser) -> None:
    judged.add_options(parser, 200, "clips that each trained side makes")
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the training (default nano's)")
    parser.add_argument("--steps", type=int, default=600, help="of the whole curriculum, each side (default 600)")
    parser.add_argument("--bank", type=int, default=2048, help="clips to learn from (default 2048)")


def run(
    seed: int,
    checkpoint: Path | None = None,
    clips: int = 200,
    config: Path = CONFIG,
    steps: int = 600,
    bank: int = 2048,
) -> dict[str, Any]:
    pipeline = judged.open_pipeline(checkpoint)
    mine, theirs = train(pipeline, config, steps, bank)
    hybrid, twin = (evaluate(pipeline, one, clips, seed) for one in (mine, theirs))
    accuracy = judged.shares("hybrid", hybrid, twin)
    accuracy[-1] |= {"target": "≥ twin", "ok": hybrid["all"] >= twin["all"]}
    faster = theirs.step_ms / mine.step_ms
    figures = [
        *accuracy,
        figure("loss on fresh draws", mine.loss, "", target="stated", ok=True, n=mine.steps,
               baseline=theirs.loss, ratio=mine.loss / theirs.loss),
        figure("one training step", mine.step_ms, "ms", target=f"≥ {FASTER}× faster", ok=faster >= FASTER,
               n=mine.steps, baseline=theirs.step_ms, ratio=faster),
    ]  # fmt: skip
    notes = [
        RATIO,
        f"{steps} steps of {config.name} each, from {bank} clips",
        f"all three right, hybrid: {judged.at_95(hybrid['all'], clips)}; twin: {judged.at_95(twin['all'], clips)}",
    ]
    return {"name": "model-twin", "figures": figures, "notes": notes}
