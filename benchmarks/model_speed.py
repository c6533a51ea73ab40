"""A clip of 17 frames at 128×128 from the two stages, in a warm process on two threads; beside it, 64×64 alone.

`make bench NAME=model-speed`: 12 clips of each side, in turn; about a minute on two cores with nothing beside.
A checkpoint without an upsampler makes 128×128 directly, and the notes say so.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks import checkpoint as judged
from benchmarks.result import conditions, figure
from edgecore_aiprod import GenerationRequest

SECONDS = 5.0
PROMPT = "a red circle moving right"


def add_options(parser: argparse.ArgumentParser) -> None:
    judged.add_options(parser, 12, "clips of each side")


def run(seed: int, checkpoint: Path | None = None, clips: int = 12) -> dict[str, Any]:
    pipeline = judged.open_pipeline(checkpoint)
    small = GenerationRequest(PROMPT)
    two_stages = pipeline.model.upsampler is not None
    large = replace(small, upscale=True) if two_stages else replace(small, width=128, height=128)
    requests = {"large": large, "small": small}
    if two_stages:
        requests["direct"] = replace(small, width=128, height=128)
    if pipeline.model.distilled is not None:
        requests["quick"] = replace(large, variant="distilled", steps=4)
    for request in requests.values():  # the first one pays for what is only then loaded
        pipeline(request)
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for index in track(range(clips), "clips"):
        for name, request in requests.items():
            seconds[name].append(judged.seconds(pipeline, replace(request, seed=seed + index)))
    median = {name: float(np.median(spent)) for name, spent in seconds.items()}
    figures = [
        _figure("17 frames, 64×64 → 128×128, median", median["large"], clips, median["small"], SECONDS),
        _figure("17 frames, 64×64 → 128×128, slowest", max(seconds["large"]), clips, max(seconds["small"])),
    ]
    if "direct" in median:
        figures.append(_figure("17 frames, 128×128 directly", median["direct"], clips, median["large"]))
    if "quick" in median:
        figures.append(_figure("distilled, 4 steps, 128×128", median["quick"], clips, median["large"]))
    notes = [
        "beside: 64×64 without the second stage; for the last rows, the two stages of the standard variant",
        f"two threads, a warm process; {conditions()}",
    ]
    if not two_stages:
        notes.append("this checkpoint has no upsampler: 128×128 is made directly")
    return {"name": "model-speed", "figures": figures, "notes": notes}


def _figure(name: str, value: float, clips: int, beside: float, most: float | None = None) -> dict[str, Any]:
    target = "stated" if most is None else f"< {most:g}"
    ok = most is None or value < most
    return figure(name, value, "s", target=target, ok=ok, n=clips, baseline=beside, ratio=value / beside)
