"""A circuit breaker: a provider that keeps failing is left alone for a while, then tried with one job.

Closed → open when at least half of the last 5 to 10 attempts failed, or 3 in a row; open → half-open after a
pause with jitter, which doubles with every failed trial; half-open → closed when the trial succeeds. Half of a
window is Resilience4j's default; the window is shorter, as an attempt takes minutes and costs money.
"""

import random
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from edgecore_contracts.states import Reason

WINDOW = 10
FEWEST = 5
SHARE = 0.5
IN_A_ROW = 3
LONGEST = 16
"""The longest pause, as a multiple of the first."""

NOT_ITS_FAULT = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.CANCELLED_BY_USER,
        Reason.BUDGET_EXHAUSTED,
        Reason.NODE_LOST,
        Reason.NODE_DRAINED,
        Reason.STORAGE,
    }
)
"""Failures that say nothing about the provider: the job's, the owner's, or our own."""


class BreakerState(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Breaker:
    """One provider's. `pause` is the first one in seconds, `now` a monotonic clock, `jitter` draws from [0, 1)."""

    def __init__(
        self, pause: float, now: Callable[[], float], jitter: Callable[[], float] = random.random
    ) -> None:
        self._pause = pause
        self._now = now
        self._jitter = jitter
        self._results: deque[tuple[str, bool]] = deque(maxlen=WINDOW)
        self._trips = 0
        self._until: float | None = None
        self._trial = ""

    @property
    def state(self) -> BreakerState:
        if self._until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._now() < self._until else BreakerState.HALF_OPEN

    @property
    def lets_through(self) -> bool:
        """Whether a job may be sent now: in half-open one at a time."""
        match self.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                return not self._trial

    @property
    def opens_in(self) -> float | None:
        """Seconds until an open breaker lets one job through; None when it is not open."""
        if self._until is None or self.state is not BreakerState.OPEN:
            return None
        return self._until - self._now()

    @property
    def recent(self) -> tuple[int, int]:
        """Attempts remembered, and how many of them failed."""
        return len(self._results), sum(failed for _, failed in self._results)

    def sent(self, lease_id: str) -> None:
        """A job went to the provider; in half-open it is the trial."""
        if self.state is BreakerState.HALF_OPEN:
            self._trial = lease_id

    def ended(self, lease_id: str, reason: Reason) -> None:
        """An attempt is over. A repeated report counts once; after a trip only the trial counts."""
        if self._until is not None:
            self._judge(lease_id, reason)
        elif reason not in NOT_ITS_FAULT and all(known != lease_id for known, _ in self._results):
            failed = reason is not Reason.COMPLETED
            self._results.append((lease_id, failed))
            if failed and self._failing:
                self._open()

    def _judge(self, lease_id: str, reason: Reason) -> None:
        if lease_id != self._trial:
            return
        self._trial = ""
        if reason is Reason.COMPLETED:
            self._results.clear()
            self._trips, self._until = 0, None
        elif reason not in NOT_ITS_FAULT:
            self._open()

    @property
    def _failing(self) -> bool:
        attempts, failures = self.recent
        last = [failed for _, failed in self._results][-IN_A_ROW:]
        return (attempts >= FEWEST and failures >= SHARE * attempts) or (len(last) == IN_A_ROW and all(last))

    def _open(self) -> None:
        """For half to all of the pause, so that replicas do not march in step."""
        pause = self._pause * min(2**self._trips, LONGEST)
        self._trips += 1
        self._until = self._now() + pause * (0.5 + 0.5 * self._jitter())
