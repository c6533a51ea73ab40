"""What the benchmarks of the trained model share: which checkpoint is judged, and on how many clips."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.result import figure
from edgecore_aiprod import AiprodPipeline
from edgecore_aiprod.evaluation.attributes import ATTRIBUTES, interval


def add_options(parser: argparse.ArgumentParser, clips: int, of: str) -> None:
    """`--checkpoint` and `--clips`, whose help says what they are clips `of`."""
    parser.add_argument("--checkpoint", type=Path, help="folder; the shipped nano checkpoint if not given")
    parser.add_argument("--clips", type=int, default=clips, help=f"{of} (default {clips})")


def open_pipeline(checkpoint: Path | None) -> AiprodPipeline:
    """On two threads."""
    torch.set_num_threads(2)
    return AiprodPipeline.from_pretrained(checkpoint)


def shares(
    names: Sequence[str], made: dict[str, Any], beside: dict[str, Any], least: dict[str, float]
) -> list[dict[str, Any]]:
    """A figure for the share of clips right in each of `names`: attributes, or "all" of them."""
    assert set(names) <= {*ATTRIBUTES, "all"}
    return [
        figure(
            "all three right" if name == "all" else f"{name} right",
            made[name],
            "share",
            target=f"≥ {least[name]:.2f}" if name in least else "stated",
            ok=made[name] >= least.get(name, 0.0),
            n=int(made["clips"]),
            baseline=beside[name],
            ratio=made[name] / beside[name] if beside[name] else None,
        )
        for name in names
    ]


def at_95(share: float, clips: int) -> str:
    """Where the true share lies, in words."""
    low, high = interval(share, clips)
    return f"{low:.3f} to {high:.3f} at 95 %"
