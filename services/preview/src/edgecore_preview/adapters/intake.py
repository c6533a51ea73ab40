"""The way of frames into Redis: what is good waits in memory, bounded, for one writer. Nobody waits for it."""

import asyncio
from collections import deque
from typing import NamedTuple

from prometheus_client import Counter

from edgecore.preview.v1.preview_pb2 import Frame
from edgecore_contracts.errors import Unavailable
from edgecore_preview.adapters.store import FrameStore
from edgecore_preview.domain.frames import flaw
from edgecore_preview.domain.newest import Newest
from edgecore_runtime import logs
from edgecore_runtime.backoff import Backoff

BATCH_FRAMES = 32
REMEMBERED_JOBS = 10_000
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between tries while Redis is away."""

published = Counter("edgecore_preview_published_total", "Frames written to Redis")
dropped = Counter("edgecore_preview_dropped_total", "Frames left out on their way in", ["reason"])
for _reason in ("invalid", "stale", "slow", "away"):
    dropped.labels(_reason)

log = logs.get(__name__)


class Tally:
    """What became of one publisher's frames."""

    def __init__(self) -> None:
        self.accepted = 0
        self.dropped = 0
        self.open = 0
        self.complained = False
        self._settled = asyncio.Event()

    def settle(self, accepted: bool) -> None:
        self.open -= 1
        self.accepted += accepted
        self.dropped += not accepted
        if self.open == 0:
            self._settled.set()

    async def settled(self, seconds: float) -> None:
        """Return once every frame's fate is known, at the latest after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self.open:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            return


class Waiting(NamedTuple):
    frame: Frame
    tally: Tally

    @property
    def size(self) -> int:
        return len(self.frame.data)


class Intake:
    """`take` is called by publishers and never waits; `run` writes."""

    def __init__(self, store: FrameStore, frame_bytes: int, backlog_bytes: int, write_timeout: float) -> None:
        self._store = store
        self._frame_bytes = frame_bytes
        self._backlog_bytes = backlog_bytes
        self._write_timeout = write_timeout
        self._newest = Newest(REMEMBERED_JOBS)
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._came = asyncio.Event()

    def take(self, frame: Frame, tally: Tally) -> None:
        """Let the frame in, or drop it with a reason that is counted."""
        tally.open += 1
        if wrong := flaw(frame, self._frame_bytes):
            _drop(tally, "invalid")
            if not tally.complained:  # a line a frame would flood the log
                tally.complained = True
                log.warning("dropped a frame that breaks a rule", job_id=frame.job_id[:64], rule=wrong)
        elif not self._newest.rises(frame.job_id, frame.number):
            _drop(tally, "stale")
        else:
            self._append(Waiting(frame, tally))

    def _append(self, one: Waiting) -> None:
        self._waiting.append(one)
        self._bytes += one.size
        while self._bytes > self._backlog_bytes:
            _drop(self._pop().tally, "slow")
        self._came.set()

    def _pop(self) -> Waiting:
        one = self._waiting.popleft()
        self._bytes -= one.size
        return one

    async def run(self) -> None:
        """Write for ever, in batches."""
        pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                batch = [self._pop() for _ in range(min(BATCH_FRAMES, len(self._waiting)))]
                if await self._write(batch):
                    pauses.reset()
                else:
                    await pauses.pause()

    async def _write(self, batch: list[Waiting]) -> bool:
        """False when Redis is away: the batch is dropped, for it would only grow older."""
        try:
            kept = await self._store.add([one.frame for one in batch], self._write_timeout)
        except Unavailable as error:
            log.warning("dropped frames", count=len(batch), error=error.detail)
            for one in batch:
                _drop(one.tally, "away")
            return False
        for one, is_kept in zip(batch, kept, strict=True):
            if is_kept:
                published.inc()
                one.tally.settle(accepted=True)
            else:
                _drop(one.tally, "stale")
        return True


def _drop(tally: Tally, reason: str) -> None:
    dropped.labels(reason).inc()
    tally.settle(accepted=False)
