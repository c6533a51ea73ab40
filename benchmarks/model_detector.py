"""The detector on rendered truth: it must be right before it may judge anything.

`make bench NAME=model-detector`; needs no checkpoint; about half a minute on two cores.
"""

import argparse
from typing import Any

from rich.progress import track

from benchmarks.result import share
from edgecore_aiprod.evaluation.attributes import ATTRIBUTES, summary
from edgecore_aiprod.evaluation.trials import prompts, rendered_trials

LEAST = 0.99
OTHER_SIZES = [(17, 128), (5, 64), (33, 96)]
"""(frames, side) beside the 17 frames of 64×64 that the model is trained on."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clips", type=int, default=2000, help="rendered scenes (default 2000)")


def run(seed: int, clips: int = 2000) -> dict[str, Any]:
    asked = list(prompts(clips, seed))
    common = summary(list(track(rendered_trials(asked), "17×64×64", clips)))
    figures = [share(f"{name} right", common[name], clips, least=LEAST) for name in (*ATTRIBUTES, "all")]
    figures[-1]["name"] = "all three right"
    for frames, side in OTHER_SIZES:
        some = asked[: max(1, clips // 5)]
        trials = list(track(rendered_trials(some, side, frames), f"{frames}×{side}×{side}", len(some)))
        title = f"all three right, {frames}×{side}×{side}"
        figures.append(share(title, summary(trials)["all"], len(some), least=LEAST))
    notes = ["17 frames of 64×64 where nothing else is said; the detector is given pixels alone"]
    return {"name": "model-detector", "figures": figures, "notes": notes}
