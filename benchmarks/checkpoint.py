"""What the benchmarks of the trained model share: which checkpoint is judged, and on how many clips."""

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.result import share
from edgecore_aiprod import AiprodPipeline, GenerationRequest
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
    rows = [(f"{name} right", name, None) for name in ATTRIBUTES] + [("all three right", "all", least)]
    return [
        share(f"{of}: {title}", made[key], int(made["clips"]), beside=beside[key], least=asked)
        for title, key, asked in rows
    ]


def seconds(pipeline: AiprodPipeline, request: GenerationRequest) -> float:
    """That one clip takes."""
    started = time.perf_counter()
    pipeline(request)
    return time.perf_counter() - started


def at_95(right: float, clips: int) -> str:
    """Where the true share lies, in words."""
    low, high = interval(right, clips)
    return f"{low:.3f} to {high:.3f} at 95 %"
