"""The shipped model on 200 unseen English prompts, judged by the detector; beside it, rendered truth."""

from typing import Any

import torch
from rich.progress import track

from benchmarks.result import figure
from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_aiprod.detector import detect
from edgecore_aiprod.evaluation.attributes import summary
from edgecore_aiprod.evaluation.trials import generate_trials, prompts, reconstruct_trials
from edgecore_aiprod.world import render

COUNT = 200


def run(seed: int) -> dict[str, Any]:
    """Through the library's public pipeline, at its defaults."""
    torch.set_num_threads(2)
    pipeline = AiprodPipeline.from_pretrained()
    made = summary(list(track(generate_trials(pipeline, COUNT, seed, GenerationRequest("")), "clips", COUNT)))
    rebuilt = summary(list(track(reconstruct_trials(pipeline, COUNT, seed), "reconstructions", COUNT)))
    truth = _truth(seed)
    figures = [
        _right(f"{topic} right", made[topic], "stated", 0.0, truth) for topic in ("colour", "shape", "motion")
    ]
    figures += [
        _right("all three right", made["all"], "≥ 0.80", 0.80, truth),
        _right("autoencoder alone, all right", rebuilt["all"], "≥ 0.98", 0.98, truth),
    ]
    seconds = made["seconds"]
    figures.append(figure("one clip of 17 frames 64×64", seconds, "s", target="< 5", ok=seconds < 5, n=COUNT))
    notes = ["beside: the detector on the rendered scenes themselves; seconds are the median, in a warm process"]
    return {"name": "model", "figures": figures, "notes": notes}


def _right(name: str, share: float, target: str, least: float, truth: float) -> dict[str, Any]:
    ratio = share / truth
    return figure(name, share, "share", target=target, ok=share >= least, n=COUNT, baseline=truth, ratio=ratio)


def _truth(seed: int) -> float:
    """The share of rendered scenes that the detector reads right: what a perfect model could reach."""
    scenes = [scene for _, scene in prompts(COUNT, seed)]
    right = [all(detect(render(scene)).agrees(scene.colour, scene.shape, scene.motion)) for scene in scenes]
    return sum(right) / COUNT
