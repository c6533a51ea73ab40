"""What a question is answered with."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Latency:
    """Seconds from acceptance to delivery."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Figures:
    """Of the jobs accepted in a period, as they stand now; `latency` is None when nothing was delivered."""

    jobs: int = 0
    delivered: int = 0
    failed: int = 0
    cancelled: int = 0
    attempts: int = 0
    fallbacks: int = 0
    video_seconds: float = 0.0
    compute_seconds: float = 0.0
    cost_micros: int = 0
    latency: Latency | None = None


@dataclass(frozen=True)
class Usage:
    """`buckets` by start, without gaps; `customers` by user id, the dearest first."""

    total: Figures
    buckets: dict[datetime, Figures]
    customers: dict[str, Figures]
