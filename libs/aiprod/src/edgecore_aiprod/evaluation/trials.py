"""Trials: a caption and its scene, a clip, and what the detector reads in that clip.

Scenes, captions and sampling noise come from seeds no training run uses (see `_SEED_OFFSET`). The detector is
given the clip alone; its reading is compared with the scene the caption was written for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from edgecore_aiprod.captions import caption, named_caption
from edgecore_aiprod.detector import Reading, detect
from edgecore_aiprod.evaluation.batch import generate_many
from edgecore_aiprod.pipeline import AiprodPipeline
from edgecore_aiprod.pixels import to_frames, to_pixels
from edgecore_aiprod.rules import GenerationRequest
from edgecore_aiprod.world import Scene, Video, render, sample_scene

_SEED_OFFSET = 900_000_000  # far from (seed, step) and (seed, index) of training


@dataclass(frozen=True)
class Trial:
    prompt: str
    scene: Scene
    video: Video
    reading: Reading
    seconds: float

    @property
    def right(self) -> tuple[bool, bool, bool]:
        """Colour, shape, motion."""
        return self.reading.agrees(self.scene.colour, self.scene.shape, self.scene.motion)


def unseen_rng(seed: int, *place: int) -> np.random.Generator:
    """Of a place (such as a clip's number) in an evaluation; no training run draws from it."""
    return np.random.default_rng((_SEED_OFFSET + seed, *place))


def prompts(count: int, seed: int, locale: str | None = None) -> Iterator[tuple[str, Scene]]:
    """Unseen captions with their scenes: free English, or CLDR's in a locale."""
    for index in range(count):
        rng = unseen_rng(seed, index)
        scene = sample_scene(rng)
        if locale is None:
            yield caption(scene, rng).text, scene
        else:
            yield named_caption(locale, scene.colour, scene.shape, scene.motion).text, scene


def request_of(template: GenerationRequest, prompt: str, seed: int, index: int) -> GenerationRequest:
    """The template's request for a prompt; prompt i is sampled with a seed of its own."""
    return replace(template, prompt=prompt, seed=_SEED_OFFSET + seed * 100_003 + index)


def generate_trials(
    pipeline: AiprodPipeline, count: int, seed: int, template: GenerationRequest, locale: str | None = None
) -> Iterator[Trial]:
    """Through the public pipeline, one at a time, which is what `seconds` are measured on."""
    for index, (prompt, scene) in enumerate(prompts(count, seed, locale)):
        started = time.perf_counter()
        video = pipeline(request_of(template, prompt, seed, index))
        yield Trial(prompt, scene, video, detect(video), time.perf_counter() - started)


def batched_trials(
    pipeline: AiprodPipeline, asked: list[tuple[str, Scene]], seed: int, template: GenerationRequest
) -> Iterator[Trial]:
    """The same clips in batches; `seconds` are a clip's share."""
    requests = (request_of(template, prompt, seed, index) for index, (prompt, _) in enumerate(asked))
    started = time.perf_counter()
    for (prompt, scene), video in zip(asked, generate_many(pipeline, requests), strict=True):
        reading = detect(video)
        yield Trial(prompt, scene, video, reading, time.perf_counter() - started)
        started = time.perf_counter()


def rendered_trials(asked: list[tuple[str, Scene]], side: int = 64, frames: int = 17) -> Iterator[Trial]:
    """The scenes themselves: what a perfect model would make, and how far the detector can be trusted."""
    for prompt, scene in asked:
        started = time.perf_counter()
        video = render(scene, frames, side, side)
        yield Trial(prompt, scene, video, detect(video), time.perf_counter() - started)


def reconstruct_trials(pipeline: AiprodPipeline, count: int, seed: int) -> Iterator[Trial]:
    """Unseen clips through the autoencoder alone."""
    for prompt, scene in prompts(count, seed):
        started = time.perf_counter()
        video = reconstruct(pipeline, render(scene))
        yield Trial(prompt, scene, video, detect(video), time.perf_counter() - started)


@torch.inference_mode()
def reconstruct(pipeline: AiprodPipeline, video: Video) -> Video:
    """Encoded and decoded again."""
    vae = pipeline.model.vae
    return to_frames(vae.decode(vae.encode(to_pixels(video)[None].to(pipeline.device)))[0])
