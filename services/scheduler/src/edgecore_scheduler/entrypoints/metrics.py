"""What Prometheus is told of the breakers."""

from functools import partial

from prometheus_client import Gauge

from edgecore_scheduler.domain.breaker import Breaker, BreakerState

LEVEL = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}

breaker_state = Gauge("edgecore_provider_breaker", "0 closed, 1 half-open, 2 open", ["backend"])


def show_breakers(breakers: dict[str, Breaker]) -> None:
    """Have every scrape ask the breakers themselves: an open one turns half-open by time alone."""
    for backend, breaker in breakers.items():
        breaker_state.labels(backend).set_function(partial(_level, breaker))


def _level(breaker: Breaker) -> float:
    return LEVEL[breaker.state]
