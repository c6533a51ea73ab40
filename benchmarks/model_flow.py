"""Does the motion in a clip follow the motion field that is asked for? Captions say another motion than the field.

`make bench NAME=model-flow`: 48 clips at each of three strengths, and 8 pairs; about five minutes on two cores.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks import checkpoint as judged
from benchmarks.result import figure
from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_aiprod.evaluation import following
from edgecore_aiprod.evaluation.trials import prompts, request_of

LEAST = 0.9
_PAIRS = 8


def add_options(parser: argparse.ArgumentParser) -> None:
    judged.add_options(parser, 48, "clips at each strength")


def run(seed: int, checkpoint: Path | None = None, clips: int = 48) -> dict[str, Any]:
    pipeline, template = judged.open_pipeline(checkpoint), GenerationRequest("")
    steered = [
        clip
        for strength in following.STRENGTHS
        for clip in track(
            following.steer(pipeline, clips, seed, template, strength), f"strength {strength:g}", clips
        )
    ]
    found = following.measure(steered)
    none, half, whole = (found[f"{strength:g}"] for strength in following.STRENGTHS)
    few_steps = replace(template, steps=4)
    pairs = [request_of(few_steps, prompt, seed, index) for index, (prompt, _) in enumerate(prompts(_PAIRS, seed))]
    same = sum(_is_the_same(pipeline, request) for request in pairs)
    figures = [
        _cosine("mean cosine at strength 1", whole["mean"], none["mean"], clips, LEAST),
        _cosine("mean cosine at strength 1, by optical flow", whole["optical"], none["optical"], clips),
        _cosine("mean cosine at strength ½", half["mean"], none["mean"], clips),
        figure("clips with a cosine above 0.9 at strength 1", whole["close"], "share", target="stated", ok=True,
               n=clips, baseline=none["close"]),
        figure("strength 0 bit-identical to no field", same, "clips", target=f"{_PAIRS}", ok=same == _PAIRS,
               n=_PAIRS),
    ]  # fmt: skip
    notes = [
        "cosine of the angle between the motion asked and the detector's velocity, 0 where nothing is seen or "
        "moves; beside: strength 0, the same captions, fields and noise",
        "optical flow: OpenCV's DIS, mean over the pixels that move",
    ]
    return {"name": "model-flow", "figures": figures, "notes": notes}


def _cosine(name: str, value: float, beside: float, clips: int, least: float | None = None) -> dict[str, Any]:
    target, ok = ("stated", True) if least is None else (f"≥ {least}", value >= least)
    return figure(name, value, "cosine", target=target, ok=ok, n=clips, baseline=beside)


def _is_the_same(pipeline: AiprodPipeline, plain: GenerationRequest) -> bool:
    """A field of strength 0, and none."""
    steered = replace(plain, motion=np.array([1.5, -1.0], np.float32), motion_strength=0.0)
    return bool(np.array_equal(pipeline(plain), pipeline(steered)))
