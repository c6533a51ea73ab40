"""What the benchmarks of the trained model share: which checkpoint is judged, and on how many clips."""

import argparse
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
    of: str, made: dict[str, Any], beside: dict[str, Any], least: float | None = None
) -> list[dict[str, Any]]:
    """Figures for the shares of the clips `of` something with each attribute right, and with all of them, which is
    asked to be `least`.
    """
    return [_share(f"{of}: {name} right", made, beside, name, None) for name in ATTRIBUTES] + [
        _share(f"{of}: all three right", made, beside, "all", least)
    ]


def _share(
    title: str, made: dict[str, Any], beside: dict[str, Any], key: str, least: float | None
) -> dict[str, Any]:
    return figure(
        title,
        made[key],
        "share",
        target="stated" if least is None else f"≥ {least:.2f}",
        ok=least is None or made[key] >= least,
        n=int(made["clips"]),
        baseline=beside[key],
        ratio=made[key] / beside[key] if beside[key] else None,
    )


def at_95(share: float, clips: int) -> str:
    """Where the true share lies, in words."""
    low, high = interval(share, clips)
    return f"{low:.3f} to {high:.3f} at 95 %"
