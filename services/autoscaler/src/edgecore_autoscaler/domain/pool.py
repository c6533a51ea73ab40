"""What a pool is told to be, and how it is doing."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ForecastMode(StrEnum):
    """What a forecast may do; after AWS predictive scaling: none, forecast only, forecast and scale."""

    OFF = "Off"
    OBSERVE = "Observe"
    ACT = "Act"


@dataclass(frozen=True)
class PoolSpec:
    """A GPUPool's spec. Times are seconds; `horizon` is how soon the known work must be done."""

    name: str
    model: str
    backend: str
    device: str
    min_replicas: int
    max_replicas: int
    target_utilisation: float
    cold_start: float
    price_per_hour: int
    """Whole micros of USD."""
    scale_in_window: float
    forecast_mode: ForecastMode
    horizon: float
    quantile: float

    def clamp(self, nodes: int) -> int:
        """The nearest allowed number of nodes."""
        return min(max(nodes, self.min_replicas), self.max_replicas)


@dataclass(frozen=True)
class Load:
    """A pool's work and nodes at one moment, as the scheduler last told."""

    queued: int
    queued_seconds: float
    running: int
    ready: int
    slots: int
    """Jobs at a time on one node, at least 1."""
    seconds_per_job: float
    seen_at: datetime
    reported: bool = True
    """False: no node of the pool was ever seen, and the queue is told from what arrived lately."""
