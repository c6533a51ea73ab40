"""What is likely to arrive: the same time of the last season, with a margin from how wrong that was before.

Seasonal naive with a quantile of its residuals: Hyndman and Athanasopoulos, Forecasting: Principles and Practice
(3rd edition), sections 5.2 and 5.5. With less than 24 hours of history there is none (AWS predictive scaling).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from edgecore_autoscaler.domain.pool import PoolSpec

BUCKET = timedelta(minutes=10)
"""One value of the series. Shorter ones are mostly noise: a pool sees a handful of jobs a minute."""
DAY = timedelta(days=1) // BUCKET
WEEK = 7 * DAY
ENOUGH_RESIDUALS = 12
"""Fewer residuals than two hours of them say nothing about a quantile; the margin is then 0."""
BUFFER = 300.0
"""Seconds that nodes are started ahead of need besides their cold start; AWS's default SchedulingBufferTime."""


@dataclass(frozen=True)
class Forecast:
    """The largest need between now and now + cold start + buffer."""

    nodes: int
    demand: float
    """GPUs busy on average in that bucket, margin included."""
    margin: float
    like: datetime
    """When the season before looked like this."""
    weekly: bool
    error: float
    """What the last whole bucket brought, less what the season before had said; in GPUs busy."""

    def as_dict(self) -> dict[str, str | int]:
        """For HTTP and a GPUPool's status, where fractions are strings, as Kubernetes advises."""
        return {
            "nodes": self.nodes,
            "demand": f"{self.demand:.2f}",
            "margin": f"{self.margin:.2f}",
            "like": self.like.isoformat(),
            "season": "week" if self.weekly else "day",
        }

    def __str__(self) -> str:
        return f"last {self.like:%A}'s {self.like:%H:%M}" if self.weekly else f"yesterday's {self.like:%H:%M}"


def start_of(now: datetime) -> datetime:
    """The beginning of the bucket that `now` lies in."""
    return now - (now - datetime.min.replace(tzinfo=now.tzinfo)) % BUCKET


def series(seconds: Iterable[tuple[datetime, float]], now: datetime) -> list[float]:
    """GPUs busy on average (arrived GPU-seconds a second) in each whole bucket from the first arrival until now.

    `seconds` are (bucket's start, GPU-seconds); buckets without an arrival may be left out.
    """
    known = dict(seconds)
    if not known:
        return []
    first, end = min(known), start_of(now)
    width = BUCKET.total_seconds()
    return [known.get(first + i * BUCKET, 0.0) / width for i in range((end - first) // BUCKET)]


def forecast(demand: list[float], spec: PoolSpec, slots: int, now: datetime) -> Forecast | None:
    """The need ahead, from `demand` as `series` makes it; None with less than a day of it."""
    if len(demand) < DAY:
        return None
    season = WEEK if len(demand) >= 2 * WEEK else DAY
    y = np.asarray(demand)
    residuals = y[season:] - y[:-season]
    margin = float(np.quantile(residuals, spec.quantile)) if residuals.size >= ENOUGH_RESIDUALS else 0.0
    begin = start_of(now)
    lead = timedelta(seconds=spec.cold_start + BUFFER)
    ahead = min((start_of(now + lead) - begin) // BUCKET + 1, season)
    window = y[len(y) - season : len(y) - season + ahead]
    peak = int(window.argmax())
    need = max(0.0, float(window[peak]) + max(0.0, margin))
    return Forecast(
        nodes=math.ceil(need / (spec.target_utilisation * slots) - 1e-9),
        demand=need,
        margin=max(0.0, margin),
        like=begin + peak * BUCKET - season * BUCKET,
        weekly=season == WEEK,
        error=float(residuals[-1]) if residuals.size else 0.0,
    )
