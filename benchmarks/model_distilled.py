"""The distilled variant in four steps beside the standard one in twenty, on the same prompts and seeds.

`make bench NAME=model-distilled`: 400 clips three times; about ten minutes on two cores. The checkpoint must hold
distilled weights.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks import checkpoint as judged
from benchmarks.result import figure
from edgecore_aiprod import GenerationRequest
from edgecore_aiprod.evaluation.attributes import summary
from edgecore_aiprod.evaluation.trials import Trial, generate_trials

STEPS = 4
POINTS_LOST = 3.0
SIDES = {
    "standard": GenerationRequest(""),
    "distilled": GenerationRequest("", steps=STEPS, variant="distilled"),
    "hurried": GenerationRequest("", steps=STEPS),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    judged.add_options(parser, 400, "clips of each side")


def run(seed: int, checkpoint: Path | None = None, clips: int = 400) -> dict[str, Any]:
    """The sides take turns clip by clip, so that other load slows all alike."""
    pipeline = judged.open_pipeline(checkpoint)
    streams = {name: generate_trials(pipeline, clips, seed, template) for name, template in SIDES.items()}
    trials: dict[str, list[Trial]] = {name: [] for name in SIDES}
    for _ in track(range(clips), "clips"):
        for name, stream in streams.items():
            trials[name].append(next(stream))
    found = {name: summary(side) for name, side in trials.items()}
    standard, distilled, hurried = (found[name] for name in SIDES)
    lost = 100 * (standard["all"] - distilled["all"])
    lost_plainly = 100 * (standard["all"] - hurried["all"])
    figures = [
        figure(f"lost by distilling to {STEPS} steps", lost, "points", target=f"≤ {POINTS_LOST:g}",
               ok=lost <= POINTS_LOST, n=clips, baseline=lost_plainly),
        *judged.shares("distilled", distilled, standard),
        figure("distilled: one clip", distilled["seconds"], "s", target="stated", ok=True, n=clips,
               baseline=standard["seconds"], ratio=distilled["seconds"] / standard["seconds"]),
    ]  # fmt: skip
    notes = [
        f"points lost beside: the standard variant in {STEPS} steps; else beside: the standard variant in "
        f"{SIDES['standard'].steps}",
        f"standard, all three: {judged.at_95(standard['all'], clips)}; "
        f"distilled: {judged.at_95(distilled['all'], clips)}",
    ]
    return {"name": "model-distilled", "figures": figures, "notes": notes}
