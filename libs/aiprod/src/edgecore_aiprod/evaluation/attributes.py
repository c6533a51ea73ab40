"""Shares of trials that show the asked colour, shape and motion, and what is taken for what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecore_aiprod.evaluation.trials import Trial
from edgecore_aiprod.world import COLOURS, MOTIONS, SHAPES

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "motion": tuple(MOTIONS),
}
NOTHING = "nothing clear"
_DEVIATIONS = 1.96  # standard deviations to each side of a 95 % interval


def summary(trials: Sequence[Trial]) -> dict[str, float]:
    """Shares from 0 to 1 of each attribute and of all three, and the median of the seconds a clip."""
    right = np.array([trial.right for trial in trials])
    shares = dict(zip(ATTRIBUTES, (float(share) for share in right.mean(axis=0)), strict=True))
    return {
        "clips": float(len(trials)),
        **shares,
        "all": float(right.all(axis=1).mean()),
        "seconds": float(np.median([trial.seconds for trial in trials])),
    }


def interval(share: float, count: int) -> tuple[float, float]:
    """Where the true share lies, at 95 % (Wilson 1927), after seeing `share` in `count` trials."""
    centre = share + _DEVIATIONS**2 / (2 * count)
    reach = _DEVIATIONS * math.sqrt(share * (1 - share) / count + _DEVIATIONS**2 / (4 * count**2))
    whole = 1 + _DEVIATIONS**2 / count
    return max(0.0, (centre - reach) / whole), min(1.0, (centre + reach) / whole)


def confusion(trials: Sequence[Trial], attribute: str) -> dict[str, dict[str, int]]:
    """How many clips, by what was asked and then by what was seen; `NOTHING` where nothing was clear."""
    names = ATTRIBUTES[attribute]
    counts = {asked: dict.fromkeys((*names, NOTHING), 0) for asked in names}
    for trial in trials:
        seen = getattr(trial.reading, attribute)
        counts[getattr(trial.scene, attribute)][NOTHING if seen is None else seen] += 1
    return counts


def measure(trials: Sequence[Trial]) -> dict[str, Any]:
    """Shares, the interval of the share with all three right, and confusions."""
    figures: dict[str, Any] = dict(summary(trials))
    figures["interval"] = interval(figures["all"], len(trials))
    figures["confusion"] = {attribute: confusion(trials, attribute) for attribute in ATTRIBUTES}
    return figures
