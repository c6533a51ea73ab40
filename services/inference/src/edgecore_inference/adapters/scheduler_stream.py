"""The node's one stream to the scheduler: connects, speaks, listens, and connects again, forever.

What is said is decided by a Speaker, what it leads to by a Listener; the stream only carries it.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import grpc

from edgecore.scheduler.v1.scheduler_pb2 import SchedulerMessage, Welcome, WorkerMessage
from edgecore.scheduler.v1.scheduler_pb2_grpc import SchedulerServiceStub
from edgecore_inference import metrics
from edgecore_inference.adapters.halves import together, words
from edgecore_runtime import crash, grpc_client, logs
from edgecore_runtime.clock import Clock

WELCOME_SECONDS = 5.0
WRITE_SECONDS = 5.0
PAUSE_SECONDS, PAUSE_MAX_SECONDS = 0.1, 5.0

Call = grpc.aio.StreamStreamCall[WorkerMessage, SchedulerMessage]

log = logs.get(__name__)


class Speaker(Protocol):
    """What this side says. Nothing here blocks but `next`."""

    def opening(self) -> WorkerMessage:
        """Register, with the leases held now."""

    def welcomed(self, welcome: Welcome, opened_at: float) -> None:
        """The scheduler took the Register that left at `opened_at`."""

    async def next(self) -> list[WorkerMessage]:
        """Wait until there is something to say."""

    def said(self, message: WorkerMessage, sent_at: float) -> None:
        """It was handed to the stream; `sent_at` is a monotonic time not later than that."""


Listener = Callable[[SchedulerMessage], None]
"""Hears everything but Welcome; must not block."""


class StreamEnded(Exception):
    """The scheduler closed the stream or broke the protocol."""


LOST = (grpc.aio.AioRpcError, asyncio.InvalidStateError, StreamEnded, TimeoutError)
"""How the end of a stream shows itself; the second when it ends between two writes."""


class SchedulerStream:
    """Runs until cancelled; `connected` is true between Welcome and the stream's end."""

    def __init__(self, address: str, speaker: Speaker, listener: Listener, clock: Clock) -> None:
        self.connected = False
        self._address = address
        self._speaker = speaker
        self._listener = listener
        self._clock = clock

    async def run(self) -> None:
        # Without the tracing interceptors: the stream outlives every trace, and Assign carries the job's.
        async with grpc.aio.insecure_channel(self._address, options=grpc_client.OPTIONS) as channel:
            failures = 0
            while True:
                try:
                    await self._connect(channel)
                except LOST as error:
                    failures = 1 if self.connected else failures + 1
                    log.warning("scheduler stream lost", detail=words(error), failures=failures)
                finally:
                    self._mark(False)
                await asyncio.sleep(_pause(failures))

    async def _connect(self, channel: grpc.aio.Channel) -> None:
        call: Call = SchedulerServiceStub(channel).Work()
        try:
            opened_at = self._clock.monotonic()
            async with asyncio.timeout(WELCOME_SECONDS):
                await call.write(self._speaker.opening())
                first = await call.read()
            if not isinstance(first, SchedulerMessage) or first.WhichOneof("message") != "welcome":
                raise StreamEnded("the first answer was not Welcome")
            self._speaker.welcomed(first.welcome, opened_at)
            self._mark(True)
            log.info("registered with the scheduler", address=self._address)
            await together(self._listen(call), self._speak(call))
        finally:
            call.cancel()

    def _mark(self, connected: bool) -> None:
        self.connected = connected
        metrics.CONNECTED.set(connected)

    async def _listen(self, call: Call) -> None:
        while isinstance(message := await call.read(), SchedulerMessage):
            self._listener(message)
        raise StreamEnded("closed by the scheduler")

    async def _speak(self, call: Call) -> None:
        while True:
            for message in await self._speaker.next():
                finished = message.WhichOneof("message") == "finished"
                if finished:
                    crash.point("finished.before")
                sent_at = self._clock.monotonic()
                async with asyncio.timeout(WRITE_SECONDS):
                    await call.write(message)
                self._speaker.said(message, sent_at)
                if finished:
                    crash.point("finished.after")


def _pause(failures: int) -> float:
    """Seconds before the next try: growing, with jitter, so that a returning scheduler is not stormed."""
    longest = min(PAUSE_MAX_SECONDS, PAUSE_SECONDS * 2.0 ** min(failures, 10))
    return random.uniform(longest / 2, longest)
