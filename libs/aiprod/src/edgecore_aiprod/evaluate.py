"""`python -m edgecore_aiprod.evaluate`: what the detector sees in clips the model makes for unseen prompts.

Scenes, captions and sampling noise come from seeds no training run uses (see `_SEED_OFFSET`). The detector is
given the clip alone; its reading is compared with the scene the caption was written for.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from edgecore_aiprod.captions import caption, lexicons, named_caption
from edgecore_aiprod.detector import Reading, detect
from edgecore_aiprod.errors import CheckpointError
from edgecore_aiprod.pipeline import AiprodPipeline
from edgecore_aiprod.rules import GenerationRequest
from edgecore_aiprod.video import contact_sheet, write_png
from edgecore_aiprod.world import Scene, render, sample_scene

_SEED_OFFSET = 900_000_000  # far from (seed, step) and (seed, index) of training
_TOPICS = ("colour", "shape", "motion")


@dataclass(frozen=True)
class Trial:
    prompt: str
    scene: Scene
    video: NDArray[np.uint8]
    reading: Reading
    seconds: float

    @property
    def right(self) -> tuple[bool, bool, bool]:
        return self.reading.agrees(self.scene.colour, self.scene.shape, self.scene.motion)


def prompts(count: int, seed: int, locale: str | None = None) -> Iterator[tuple[str, Scene]]:
    """Unseen captions with their scenes: free English, or CLDR's in a locale."""
    for index in range(count):
        rng = np.random.default_rng((_SEED_OFFSET + seed, index))
        scene = sample_scene(rng)
        if locale is None:
            yield caption(scene, rng), scene
        else:
            yield named_caption(locale, scene.colour, scene.shape, scene.motion), scene


def generate_trials(
    pipeline: AiprodPipeline, count: int, seed: int, template: GenerationRequest, locale: str | None = None
) -> Iterator[Trial]:
    """Through the public pipeline; prompt i is sampled with a seed of its own."""
    for index, (prompt, scene) in enumerate(prompts(count, seed, locale)):
        started = time.perf_counter()
        video = pipeline(replace(template, prompt=prompt, seed=_SEED_OFFSET + seed * 100_003 + index))
        yield Trial(prompt, scene, video, detect(video), time.perf_counter() - started)


def reconstruct_trials(pipeline: AiprodPipeline, count: int, seed: int) -> Iterator[Trial]:
    """Unseen clips through the autoencoder alone."""
    for prompt, scene in prompts(count, seed):
        started = time.perf_counter()
        truth = torch.from_numpy(render(scene)).float()[None] / 127.5 - 1.0
        with torch.inference_mode():
            video = pipeline.to_frames(pipeline.model.vae.decode(pipeline.model.vae.encode(truth)))
        yield Trial(prompt, scene, video, detect(video), time.perf_counter() - started)


def summary(trials: list[Trial]) -> dict[str, float]:
    """Shares from 0 to 1, seconds a clip as the median."""
    right = np.array([trial.right for trial in trials])
    shares = dict(zip(_TOPICS, (float(share) for share in right.mean(axis=0)), strict=True))
    return {
        "clips": float(len(trials)),
        **shares,
        "all": float(right.all(axis=1).mean()),
        "seconds": float(np.median([trial.seconds for trial in trials])),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edgecore_aiprod.evaluate", description=__doc__)
    parser.add_argument("--prompts", type=int, default=200, help="clips to make (default 200)")
    parser.add_argument("--seed", type=int, default=7, help="chooses prompts and noise (default 7)")
    parser.add_argument("--checkpoint", type=Path, help="folder; the shipped nano checkpoint if not given")
    parser.add_argument(
        "--reconstructions", action="store_true", help="judge the autoencoder alone, on unseen clips"
    )
    parser.add_argument(
        "--locale", choices=sorted(lexicons()), metavar="LOCALE", help="CLDR captions, e.g. fr or ja"
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="write the first 12 clips as a contact sheet"
    )
    parser.add_argument(
        "--failures", action="store_true", help="list what was asked and seen where they differ"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object and no progress bar")
    options = parser.parse_args(arguments)
    if options.prompts < 1:
        parser.error("--prompts: at least 1")
    torch.set_num_threads(options.threads)
    try:
        pipeline = AiprodPipeline.from_pretrained(options.checkpoint)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    if options.reconstructions:
        stream = reconstruct_trials(pipeline, options.prompts, options.seed)
    else:
        template = GenerationRequest("", steps=options.steps, guidance=options.guidance)
        stream = generate_trials(pipeline, options.prompts, options.seed, template, options.locale)
    trials = list(track(stream, "clips", total=options.prompts, disable=options.json))
    if options.sheet:
        write_png(options.sheet, contact_sheet([trial.video for trial in trials[:12]]))
    figures = summary(trials)
    if options.json:
        print(
            json.dumps(figures | {"seed": options.seed, "steps": options.steps, "guidance": options.guidance})
        )
        return 0
    if options.failures:
        for trial in (trial for trial in trials if not all(trial.right)):
            asked, seen = trial.scene, trial.reading
            print(
                f"{trial.prompt!r}: asked {asked.colour} {asked.shape} {asked.motion}, "
                f"seen {seen.colour} {seen.shape} {seen.motion} "
                f"(overlap {seen.overlap:.2f}, travel {seen.travel:.1f})"
            )
    for topic in (*_TOPICS, "all"):
        print(f"{topic:8} {figures[topic]:7.1%}")
    print(f"{len(trials)} clips, {figures['seconds']:.2f} s each (median)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
