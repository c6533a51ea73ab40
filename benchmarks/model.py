"""The shipped model on 200 unseen English prompts, judged by the detector; beside it, the detector on rendered truth."""

from typing import Any

import torch
from rich.progress import track

from benchmarks.result import figure
from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_aiprod.detector import detect
from edgecore_aiprod.evaluate import generate_trials, prompts, reconstruct_trials, summary
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
        figure(
            f"{topic} right", made[topic], "share", target=target, ok=made[topic] >= 0.8, n=COUNT, baseline=truth
        )
        for topic, target in (("colour", "stated"), ("shape", "stated"), ("motion", "stated"), ("all", "≥ 0.80"))
    ]
    figures += [
        figure("autoencoder alone, all right", rebuilt["all"], "share", target="≥ 0.98", ok=rebuilt["all"] >= 0.98,
               n=COUNT, baseline=truth),
        figure("one clip of 17 frames 64×64, median", made["seconds"], "s", target="< 5", ok=made["seconds"] < 5,
               n=COUNT),
    ]  # fmt: skip
    return {
        "name": "model",
        "figures": figures,
        "notes": ["beside: the detector on the rendered scenes themselves"],
    }


def _truth(seed: int) -> float:
    """The share of rendered scenes that the detector reads right: what a perfect model could reach."""
    scenes = [scene for _, scene in prompts(COUNT, seed)]
    right = [all(detect(render(scene)).agrees(scene.colour, scene.shape, scene.motion)) for scene in scenes]
    return sum(right) / COUNT
