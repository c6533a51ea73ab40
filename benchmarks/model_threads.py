"""Seconds of a clip by threads of the engine: alone on the cores, and with a second engine on the same ones.

`make bench NAME=model-threads`: nano on one thread and on two, side by side; about five minutes on two cores with
nothing beside. What it says is why `EDGECORE_ENGINE_THREADS` is 1 unless somebody sets it.
"""

import argparse
import multiprocessing
from dataclasses import replace
from threading import Barrier
from typing import Any

import numpy as np
import torch
from rich.progress import track

from benchmarks import checkpoint as judged
from benchmarks.result import conditions, figure
from edgecore_aiprod import AiprodPipeline, GenerationRequest

PROMPT = "a red circle moving right"
CLIPS = {
    "17 frames, 64×64 → 128×128": GenerationRequest(PROMPT, upscale=True),
    "33 frames, 128×128": GenerationRequest(PROMPT, frames=33, width=128, height=128),
}
_PATIENCE = 300.0  # seconds until a process that waits for another gives up


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clips", type=int, default=5, help="that each engine makes in each row (default 5)")


def run(seed: int, clips: int = 5) -> dict[str, Any]:
    cases = [(name, engines) for name in CLIPS for engines in (1, 2)]
    figures = []
    for name, engines in track(cases, "cases"):
        one, two = (_seconds(CLIPS[name], engines, threads, clips, seed) for threads in (1, 2))
        beside = "alone" if engines == 1 else "beside another engine"
        figures.append(
            figure(f"{name}, {beside}, one thread", one, "s", target="stated", ok=True, n=clips * engines,
                   baseline=two, ratio=one / two)
        )  # fmt: skip
    notes = ["beside: two threads an engine; two engines share the same cores", conditions()]
    return {"name": "model-threads", "figures": figures, "notes": notes}


def _seconds(request: GenerationRequest, engines: int, threads: int, clips: int, seed: int) -> float:
    """The median over all clips of all engines, which start together."""
    processes = multiprocessing.get_context("spawn")
    with processes.Manager() as manager, processes.Pool(engines) as pool:
        together = manager.Barrier(engines)
        asked = (request, threads, clips, seed, together)
        made = [pool.apply_async(_make, asked) for _ in range(engines)]
        return float(np.median([one.get(_PATIENCE) for one in made]))


def _make(request: GenerationRequest, threads: int, clips: int, seed: int, together: Barrier) -> list[float]:
    """Seconds of each clip."""
    torch.set_num_threads(threads)
    pipeline = AiprodPipeline.from_pretrained()
    pipeline(request)  # the first one pays for what is only then loaded
    together.wait(_PATIENCE)
    return [judged.seconds(pipeline, replace(request, seed=seed + index)) for index in range(clips)]
