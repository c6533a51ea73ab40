"""Waking those who wait for a job: at once when its event is handled in this process.

Events that another replica handles are found by the waiters' own slow look at the database.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Watch:
    """Who waits for which job; at most `most` at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._waiting: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def subscription(self, job_id: str) -> Iterator[asyncio.Event | None]:
        """An event that is set with every change of the job; None when too many wait already."""
        if self._count >= self._most:
            yield None
            return
        woken = asyncio.Event()
        self._count += 1
        self._waiting.setdefault(job_id, set()).add(woken)
        try:
            yield woken
        finally:
            self._count -= 1
            self._waiting[job_id].discard(woken)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def wake(self, job_id: str) -> None:
        for woken in self._waiting.get(job_id, ()):
            woken.set()
