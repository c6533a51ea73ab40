"""Keeps one part running: starts it, waits until it answers, starts it again when it dies."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edgecore_runtime.embedded.part import Part, PartFailed
from edgecore_runtime.embedded.process import Child, describe_exit

READY_DEADLINE_S = 120.0
STOP_GRACE_S = 8.0
# A child that cannot get ready so often in a row is given up.
READY_ATTEMPTS = 5
# How a child says that another start would end the same way: 2 a wrong setting, 3 a missing file.
EXIT_HOPELESS = frozenset({2, 3})
# A child that lived shorter than this after it was ready has not earned an immediate restart.
SETTLED_AFTER_S = 5.0
FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 5.0


class Phase(Enum):
    PREPARING = "preparing"
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Change:
    """Something happened to a child; `seconds` is how long starting took (READY) or the wait ahead (DIED).

    `pid` is that of the newest process, 0 before the first.
    """

    name: str
    phase: Phase
    pid: int
    log: Path
    restarts: int
    seconds: float = 0.0
    reason: str = ""


class Keeper:
    """`ready` is set once the part has answered for the first time."""

    def __init__(
        self, part: Part, logs: Path, keep_open: Sequence[int], on_change: Callable[[Change], None]
    ) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self._log = logs / f"{part.name}.log"
        self._keep_open = keep_open
        self._on_change = on_change
        self._child: Child | None = None
        self._starts = 0

    async def run(self) -> None:
        """Never returns. Raises PartFailed when the part is given up."""
        unready = hasty = 0
        while True:
            try:
                child = await self._start()
            except PartFailed as failure:
                unready += 1
                if failure.exit_code in EXIT_HOPELESS or unready == READY_ATTEMPTS:
                    raise
                await self._pause(failure.reason, unready)
                continue
            unready = 0
            ready_at = time.monotonic()
            reason = describe_exit(await child.exited())
            hasty = hasty + 1 if time.monotonic() - ready_at < SETTLED_AFTER_S else 0
            await self._pause(reason, max(0, hasty - 1))

    async def stop(self) -> None:
        """After `run` was cancelled. Takes at most STOP_GRACE_S seconds and the moment a SIGKILL needs."""
        if self._child is not None:
            await self._child.stop(STOP_GRACE_S)
            self._report(Phase.STOPPED)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()

    async def _start(self) -> Child:
        began = time.monotonic()
        self._report(Phase.PREPARING)
        await self.part.prepare()
        child = self._child = Child(self.part, self._log, self._keep_open)
        self._starts += 1
        self._report(Phase.STARTING)
        try:
            await child.ready(READY_DEADLINE_S)
        except PartFailed:
            await child.stop(STOP_GRACE_S)
            raise
        self._report(Phase.READY, time.monotonic() - began)
        self.ready.set()
        return child

    async def _pause(self, reason: str, failures: int) -> None:
        """None before the first repetition, then growing, with jitter."""
        wait = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (failures - 1)) if failures else 0.0
        wait *= random.uniform(0.75, 1.25)
        self._report(Phase.DIED, wait, reason)
        await asyncio.sleep(wait)

    def _report(self, phase: Phase, seconds: float = 0.0, reason: str = "") -> None:
        pid = self._child.pid if self._child is not None else 0
        restarts = max(0, self._starts - 1)
        self._on_change(Change(self.part.name, phase, pid, self._log, restarts, seconds, reason))
