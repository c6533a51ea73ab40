"""The way of frames out to viewers: one reader a watched job, one slot a viewer.

A reader lives while its job has viewers. It costs one Redis connection, however many they are.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from edgecore.preview.v1.preview_pb2 import Frame
from edgecore_contracts.errors import ResourceExhausted, Unavailable
from edgecore_preview.adapters.store import FrameStore
from edgecore_preview.domain.slot import Slot
from edgecore_runtime.backoff import Backoff
from edgecore_runtime.clock import Clock

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between tries while Redis is away."""

watching = Gauge("edgecore_preview_viewers", "Open Subscribe calls")
fanned_out = Counter("edgecore_preview_fanned_out_total", "Frames handed to viewers' slots")
seconds = Histogram(
    "edgecore_preview_seconds",
    "From made_at, by the node's clock, to the viewers' slots",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


class Channel:
    """One watched job: its reader and its viewers' slots."""

    def __init__(self, job_id: str, store: FrameStore, clock: Clock) -> None:
        self.slots: set[Slot] = set()
        self.placed = asyncio.Event()
        """Set once every frame that Redis gets from now on is handed to the slots."""
        self._job_id = job_id
        self._store = store
        self._clock = clock
        self._position = 0
        self._task = asyncio.create_task(self._read(), name=f"reader of {job_id}")

    def close(self) -> None:
        self._task.cancel()
        self.placed.set()
        for slot in self.slots:
            slot.close()

    async def _read(self) -> None:
        pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                frames = await self._next()
            except Unavailable:
                await pauses.pause()
                continue
            pauses.reset()
            for frame in frames:
                self._hand_out(frame)

    async def _next(self) -> list[Frame]:
        if not self.placed.is_set():
            newest = await self._store.newest(self._job_id)
            self._position = newest.number if newest else 0
            self.placed.set()
        frames = await self._store.wait_after(self._job_id, self._position)
        if frames:
            self._position = frames[-1].number
        return frames

    def _hand_out(self, frame: Frame) -> None:
        made_at = frame.made_at.ToNanoseconds() / 1e9
        seconds.observe(max(0.0, self._clock.now().timestamp() - made_at))
        fanned_out.inc(len(self.slots))
        for slot in self.slots:
            slot.put(frame)


class FanOut:
    """Every watched job's channel. As a component it ends all viewers' calls when the service stops."""

    def __init__(self, store: FrameStore, clock: Clock, jobs_most: int, viewers_most: int) -> None:
        self._store = store
        self._clock = clock
        self._jobs_most = jobs_most
        self._viewers_most = viewers_most
        self._viewers = 0
        self._channels: dict[str, Channel] = {}
        self._stopping = False

    async def start(self) -> None:
        """A reader starts with its job's first viewer."""

    async def stop(self) -> None:
        self._stopping = True
        for channel in self._channels.values():
            channel.close()

    async def wait_failed(self) -> None:
        await asyncio.Event().wait()

    @contextmanager
    def viewer(self, job_id: str) -> Iterator[tuple[Slot, Channel]]:
        """A slot for frames from when the channel is placed. Raises ResourceExhausted, Unavailable."""
        channel = self._channel(job_id)
        slot = Slot()
        channel.slots.add(slot)
        self._viewers += 1
        watching.inc()
        try:
            yield slot, channel
        finally:
            watching.dec()
            self._viewers -= 1
            channel.slots.discard(slot)
            if not channel.slots:
                channel.close()
                self._channels.pop(job_id, None)

    def _channel(self, job_id: str) -> Channel:
        if self._stopping:
            raise Unavailable("the preview service is stopping; subscribe again")
        if self._viewers >= self._viewers_most:
            raise ResourceExhausted(f"{self._viewers_most} viewers are the most here")
        if job_id not in self._channels:
            if len(self._channels) >= self._jobs_most:
                raise ResourceExhausted(f"{self._jobs_most} watched jobs are the most here")
            self._channels[job_id] = Channel(job_id, self._store, self._clock)
        return self._channels[job_id]
