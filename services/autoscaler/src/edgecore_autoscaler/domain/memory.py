"""What a pool's decisions remember: recent recommendations, and whether a burst is on."""

from collections import deque
from datetime import datetime, timedelta

PANIC_FACTOR = 2
PANIC_SECONDS = 60.0
"""Knative's autoscaler: at twice the capacity it panics, and does not scale down for the stable window of 60 s.

Its 6-second panic window averages a rate; a queue is a sum already, so the newest value stands for it here.
"""


class Memory:
    """One pool's past. A new one begins with the nodes there are, as the HPA does: a restart removes none."""

    def __init__(self, now: datetime, current: int) -> None:
        self._recommended: deque[tuple[datetime, int]] = deque([(now, current)])
        self._panic_until: datetime | None = None

    def note(self, now: datetime, recommended: int, current: int, window: float) -> None:
        """Remember a recommendation; older ones than `window` seconds are forgotten."""
        self._recommended.append((now, recommended))
        while self._recommended[0][0] < now - timedelta(seconds=window):
            self._recommended.popleft()
        if recommended >= PANIC_FACTOR * max(current, 1):
            self._panic_until = now + timedelta(seconds=PANIC_SECONDS)

    def highest(self) -> tuple[datetime, int]:
        """The largest recommendation of the window, and when it was last made."""
        return max(((time, nodes) for time, nodes in self._recommended), key=lambda one: (one[1], one[0]))

    def panic_until(self, now: datetime) -> datetime | None:
        """The end of the burst that is on, if one is."""
        return self._panic_until if self._panic_until and now < self._panic_until else None
