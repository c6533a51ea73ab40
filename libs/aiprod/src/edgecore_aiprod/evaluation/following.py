"""Does the motion in a clip follow the motion field that was asked for?

Captions name a motion of their own, drawn independently of the field, so that at strength 0 nothing but
chance agrees and at strength 1 the field has to win over the words. Motion is measured twice: as the velocity
of the object that the detector sees, and as dense optical flow (see `optical_flow`), which needs no object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from edgecore_aiprod.captions import caption
from edgecore_aiprod.detector import detect
from edgecore_aiprod.evaluation.trials import request_of, unseen_rng
from edgecore_aiprod.optical_flow import estimate_motion
from edgecore_aiprod.pipeline import AiprodPipeline
from edgecore_aiprod.rules import GenerationRequest
from edgecore_aiprod.world import MOTIONS, TRAVEL, Video, sample_scene

STRENGTHS = (0.0, 0.5, 1.0)
_WAYS = tuple(name for name in MOTIONS if name != "still")
_MOVING = 0.25  # pixels a frame at 64 pixels; the world's slowest moves are 0.7
_PLACE = 1_000_003  # of these scenes among the evaluation's, beside the other parts'


@dataclass(frozen=True)
class Steered:
    """One clip: what was said, the motion asked of it (pixels a frame, right and down), and what it shows."""

    prompt: str
    said: str
    asked: tuple[float, float]
    strength: float
    video: Video

    @cached_property
    def cosine(self) -> float:
        """Between the motion asked and the detector's velocity; 0 where nothing is seen or it stands."""
        return cosine(self.asked, detect(self.video).velocity)

    @cached_property
    def optical_cosine(self) -> float:
        """Between the motion asked and the mean optical flow of all pixels that move; 0 where none does."""
        return cosine(self.asked, moving_flow(self.video))


def steer(
    pipeline: AiprodPipeline, count: int, seed: int, template: GenerationRequest, strength: float
) -> Iterator[Steered]:
    """Clip i has the same caption, field and noise at every strength; the eight ways come in turn."""
    for index in range(count):
        rng = unseen_rng(seed, _PLACE, index)
        scene = sample_scene(rng)
        prompt = caption(scene, rng).text
        dx, dy = MOTIONS[_WAYS[index % len(_WAYS)]]
        unit = min(template.height, template.width) / 64.0
        speed = float(rng.uniform(*TRAVEL["normal"])) * unit / (template.frames - 1)
        asked = (dx * speed, dy * speed)
        request = replace(
            request_of(template, prompt, seed, index),
            motion=np.array(asked, np.float32),
            motion_strength=strength,
        )
        yield Steered(prompt, scene.motion, asked, strength, pipeline(request))


def cosine(asked: tuple[float, float], seen: tuple[float, float]) -> float:
    """Of the angle between two vectors; 0 where one of them is nothing."""
    lengths = float(np.hypot(*asked) * np.hypot(*seen))
    return 0.0 if lengths < 1e-9 else (asked[0] * seen[0] + asked[1] * seen[1]) / lengths


def moving_flow(video: Video) -> tuple[float, float]:
    """Mean optical flow (pixels a frame, right and down) of the pixels that move, nothing where none does."""
    flow_FHW2 = estimate_motion(video)[:-1]
    moving = np.linalg.norm(flow_FHW2, axis=-1) > _MOVING * min(video.shape[1:3]) / 64.0
    if not moving.any():
        return 0.0, 0.0
    right, down = flow_FHW2[moving].mean(axis=0)
    return float(right), float(down)


def measure(clips: list[Steered]) -> dict[str, Any]:
    """By strength: the detector's cosine as mean, least and share above 0.9, and the optical one's mean."""
    by_strength: dict[float, list[Steered]] = {}
    for clip in clips:
        by_strength.setdefault(clip.strength, []).append(clip)
    return {
        f"{strength:g}": {
            "clips": len(group),
            "mean": float(np.mean([clip.cosine for clip in group])),
            "least": float(np.min([clip.cosine for clip in group])),
            "close": float(np.mean([clip.cosine > 0.9 for clip in group])),
            "optical": float(np.mean([clip.optical_cosine for clip in group])),
        }
        for strength, group in by_strength.items()
    }
