"""How long an attempt takes on a device: an analytic law, fitted on this installation's own attempts.

    seconds = fixed + passes·(overhead + a·tokens + b·tokens²) + c·pixels

Linear and quadratic terms in the tokens are those of a transformer (feed-forward and attention); `overhead` is
what a run of the network costs whatever its size, which counts on small models. Coefficients are never negative
(scipy.optimize.nnls), the error is relative, and large residuals count less (Huber's weights), so that an attempt
that another process disturbed does not bend the law.

The shipped prior takes part as a few faint measurements on a grid, scaled to this machine's speed: without any
attempts it is the law; with attempts of one size only it keeps the extrapolation sane; with many it is drowned.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls  # type: ignore[import-untyped]

from edgecore_cost.domain.work import Work

Floats = NDArray[np.float64]

PRIOR_WEIGHT = 1.0
"""What the whole prior weighs, in measurements."""
HUBER = 0.1
"""Relative residuals up to this count fully; further ones by their size, not its square."""
ROUNDS = 6
FOLDS = 10
INTERVAL_LEAST = 20
"""Measurements before the interval is theirs; a two-sided 90 % interval needs 19 for its first pair of ends."""
COVERAGE = 0.9
SECONDS_LEAST = 1e-3
"""What took less was no attempt."""


@dataclass(frozen=True)
class Measurement:
    """One attempt that went well, and its seconds."""

    work: Work
    seconds: float


@dataclass(frozen=True)
class Prior:
    """The law before anything was measured, where it comes from, and how far off it may be either way."""

    coefficients: tuple[float, ...]
    low: float
    high: float
    source: str


@dataclass(frozen=True)
class Prediction:
    """Seconds: the expected ones and the 90 % interval. `measured` is on how many attempts they rest."""

    seconds: float
    low: float
    high: float
    measured: int


@dataclass(frozen=True)
class Law:
    """Fitted coefficients and the interval's ends as factors of the prediction."""

    coefficients: tuple[float, ...]
    low: float
    high: float
    measured: int

    def predict(self, work: Work) -> Prediction:
        seconds = float(np.dot(self.coefficients, work.features))
        return Prediction(seconds, seconds * self.low, seconds * self.high, self.measured)


def fit(measurements: Sequence[Measurement], prior: Prior) -> Law:
    """The law for one model on one device; measurements below SECONDS_LEAST are left out."""
    known = [one for one in measurements if one.seconds >= SECONDS_LEAST]
    features, seconds = _matrix(known)
    scale = _speed(features, seconds, prior)
    coefficients = _solve(features, seconds, prior, scale)
    if len(known) < INTERVAL_LEAST:
        return Law(coefficients, prior.low, prior.high, len(known))
    low, high = _interval(features, seconds, prior, scale)
    return Law(coefficients, low, high, len(known))


def _matrix(measurements: Sequence[Measurement]) -> tuple[Floats, Floats]:
    rows = [one.work.features for one in measurements]
    return np.array(rows, dtype=float).reshape(-1, 5), np.array([one.seconds for one in measurements], dtype=float)


def _speed(features: Floats, seconds: Floats, prior: Prior) -> float:
    """How much slower this machine is than the prior's."""
    return float(np.median(seconds / (features @ np.array(prior.coefficients)))) if len(seconds) else 1.0


def _grid() -> Floats:
    """Works from small to large, where the prior speaks."""
    works = [
        Work(tokens, passes, tokens * 16 * 16 * 4) for tokens in (32, 80, 200, 576) for passes in (8, 30, 120)
    ]
    return np.array([one.features for one in works], dtype=float)


def _solve(features: Floats, seconds: Floats, prior: Prior, scale: float) -> tuple[float, ...]:
    """Iteratively reweighted non-negative least squares on the relative error."""
    grid = _grid()
    expected = grid @ np.array(prior.coefficients) * scale
    rows = np.vstack([features, grid]) / np.concatenate([seconds, expected])[:, None]
    faint = np.full(len(grid), PRIOR_WEIGHT / len(grid))
    units = np.abs(rows).max(axis=0)
    units[units == 0] = 1.0
    weights = np.ones(len(seconds))
    found = np.zeros(rows.shape[1])
    for _ in range(ROUNDS):
        root = np.sqrt(np.concatenate([weights, faint]))
        found, _residual = nnls(rows / units * root[:, None], root)
        residuals = np.abs(rows[: len(seconds)] / units @ found - 1.0)
        weights = np.minimum(1.0, HUBER / np.maximum(residuals, 1e-12))
    return tuple(float(one) for one in found / units)


def _interval(features: Floats, seconds: Floats, prior: Prior, scale: float) -> tuple[float, float]:
    """Factors between which 90 % of new attempts fall: quantiles of measured/predicted of attempts that were left
    out of their fit (cross-conformal, Vovk 2015), at the rank that is right for a finite sample.
    """
    folds = np.arange(len(seconds)) % FOLDS
    ratios = np.empty(len(seconds))
    for fold in range(FOLDS):
        out = folds == fold
        law = np.array(_solve(features[~out], seconds[~out], prior, scale))
        ratios[out] = seconds[out] / (features[out] @ law)
    ratios.sort()
    beyond = math.floor((len(ratios) + 1) * (1 - COVERAGE) / 2)
    return min(float(ratios[beyond - 1]), 1.0), max(float(ratios[len(ratios) - beyond]), 1.0)
