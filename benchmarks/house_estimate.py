"""The predictor of seconds, hence of cost, on sizes it has not seen: the real nano pipeline on this machine.

Measures a grid of sizes × frames × steps, fits the law that the cost service fits, and then measures combinations
of which not one size, frame count or step count was in the grid. Seen and unseen ones come mixed, in one random
order, so that a machine that grows slower in between disturbs both alike. One thread, as a node's engine has; the
notes say the law that was found, which is where the shipped prior comes from. About six minutes on two cores.
"""

import itertools
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.progress import track

from benchmarks import checkpoint as judged
from benchmarks.result import conditions, figure
from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_contracts.work import WORK
from edgecore_cost.adapters.catalogue_file import load_priors
from edgecore_cost.domain.predictor import COVERAGE, Law, Measurement, fit
from edgecore_cost.domain.work import Work

MODEL = "aiprod-nano"
PROMPT = "a red circle moving right"
SEEN = list(itertools.product([(64, 64), (96, 96), (128, 64), (128, 128)], [5, 17, 33], [4, 10, 20]))
REPEATS = 2
UNSEEN = list(itertools.product([(80, 80), (112, 112), (112, 80), (80, 96)], [9, 13, 25], [3, 7, 14, 26]))
ERROR_MOST = 0.15
"""Mean relative error that published analytic models of video diffusion reach (WAN 2.1 on an H100)."""


@dataclass(frozen=True)
class Clip:
    """One combination and whether the fit may see it."""

    request: GenerationRequest
    seen: bool

    @property
    def work(self) -> Work:
        one, rule = self.request, WORK[MODEL]
        return Work(
            tokens=rule.tokens(one.width, one.height, one.frames),
            passes=rule.passes(one.steps, one.guidance),
            pixels=one.width * one.height * one.frames,
        )


def run(seed: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    pipeline = AiprodPipeline.from_pretrained()
    pipeline(GenerationRequest(PROMPT))  # the first one pays for what is only then loaded
    clips = [_clip(one, seen=True) for one in SEEN * REPEATS] + [_clip(one, seen=False) for one in UNSEEN]
    random.Random(seed).shuffle(clips)
    measured = [(clip, judged.seconds(pipeline, clip.request)) for clip in track(clips, "clips")]
    seen = [Measurement(clip.work, seconds) for clip, seconds in measured if clip.seen]
    unseen = [Measurement(clip.work, seconds) for clip, seconds in measured if not clip.seen]
    law = fit(seen, load_priors()[MODEL, "cpu"])
    figures = _figures(_errors(law, unseen), _errors_of_a_rate(seen, unseen))
    figures.append(_noise([(clip, seconds) for clip, seconds in measured if clip.seen]))
    figures += [_coverage("interval holds, unseen", law, unseen), _coverage("interval holds, seen", law, seen)]
    notes = [
        "beside: so many seconds a pass of the network and pixel, the rate taken from the same seen clips",
        f"fitted on {len(seen)} clips, judged on {len(unseen)}; {conditions()}",
        "seconds = [fixed, per pass, per pass·token, per pass·token², per pixel] = ["
        + ", ".join(f"{one:.3g}" for one in law.coefficients)
        + "]",
        "the interval is met when its share is within two standard errors of 0.90",
    ]
    return {"name": "house-estimate", "figures": figures, "notes": notes}


def _clip(combination: tuple[tuple[int, int], int, int], seen: bool) -> Clip:
    (width, height), frames, steps = combination
    return Clip(GenerationRequest(PROMPT, width=width, height=height, frames=frames, steps=steps), seen)


def _errors(law: Law, clips: list[Measurement]) -> list[float]:
    return [abs(law.predict(one.work).seconds / one.seconds - 1) for one in clips]


def _errors_of_a_rate(seen: list[Measurement], unseen: list[Measurement]) -> list[float]:
    rate = float(np.median([one.seconds / (one.work.passes * one.work.pixels) for one in seen]))
    return [abs(rate * one.work.passes * one.work.pixels / one.seconds - 1) for one in unseen]


def _figures(errors: list[float], plain: list[float]) -> list[dict[str, Any]]:
    rows = [
        ("mean relative error, unseen", np.mean(errors), np.mean(plain), ERROR_MOST),
        ("median relative error, unseen", np.median(errors), np.median(plain), None),
        ("90th percentile of the error, unseen", np.quantile(errors, 0.9), np.quantile(plain, 0.9), None),
    ]
    return [
        figure(
            name,
            float(value),
            "share",
            target="stated" if most is None else f"≤ {most}",
            ok=most is None or bool(value <= most),
            n=len(errors),
            baseline=float(beside),
            ratio=float(value / beside),
        )
        for name, value, beside, most in rows
    ]


def _noise(measured: list[tuple[Clip, float]]) -> dict[str, Any]:
    """How far two measurements of one clip lie apart: no prediction can be better on this machine today."""
    by_work: dict[Work, list[float]] = {}
    for clip, seconds in measured:
        by_work.setdefault(clip.work, []).append(seconds)
    apart = [abs(pair[0] / pair[1] - 1) for pair in by_work.values()]
    name = "the same clip measured twice: mean relative difference"
    return figure(name, float(np.mean(apart)), "share", target="stated", ok=True, n=len(apart))


def _coverage(name: str, law: Law, clips: list[Measurement]) -> dict[str, Any]:
    predictions = [(law.predict(one.work), one.seconds) for one in clips]
    share = sum(one.low <= seconds <= one.high for one, seconds in predictions) / len(clips)
    allowed = 2 * (COVERAGE * (1 - COVERAGE) / len(clips)) ** 0.5
    target = f"{COVERAGE - allowed:.2f} to {min(COVERAGE + allowed, 1):.2f}"
    return figure(name, share, "share", target=target, ok=abs(share - COVERAGE) <= allowed, n=len(clips))
