"""The node's one stream of preview frames to the preview service: connects, sends, and connects again, forever.

Nobody waits for it. A frame that could not be sent before the job's next one came is replaced by that, so that
no more wait than jobs run; while the service is away frames are dropped, and whoever makes them is told to make
none.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from edgecore.preview.v1.preview_pb2 import Frame, PublishRequest, PublishResponse
from edgecore.preview.v1.preview_pb2_grpc import PreviewServiceStub
from edgecore_inference import metrics
from edgecore_inference.adapters.halves import together, words
from edgecore_runtime import grpc_client, logs

CONNECT_SECONDS = 5.0
WRITE_SECONDS = 5.0
"""A service that takes no frame for so long is as good as away."""

PAUSE_SECONDS, PAUSE_MAX_SECONDS = 0.2, 5.0
Call = grpc.aio.StreamUnaryCall[PublishRequest, PublishResponse]

log = logs.get(__name__)


class PublishEnded(Exception):
    """The service closed the stream."""


LOST = (grpc.aio.AioRpcError, asyncio.InvalidStateError, PublishEnded, TimeoutError)
"""How the end of a stream shows itself."""


class PreviewStream:
    """`run` until cancelled; an empty address is never connected."""

    def __init__(self, address: str) -> None:
        self.connected = False
        self._address = address
        self._waiting: dict[str, Frame] = {}
        self._offered = asyncio.Event()
        self._watchers: set[Callable[[bool], None]] = set()

    def offer(self, frame: Frame) -> None:
        """Send it, unless the job's next one comes first. Never blocks."""
        if not self.connected:
            metrics.PREVIEWS.labels("lost").inc()
            return
        if self._waiting.pop(frame.job_id, None) is not None:
            metrics.PREVIEWS.labels("replaced").inc()
        self._waiting[frame.job_id] = frame
        self._offered.set()

    @contextmanager
    def watched(self, told: Callable[[bool], None]) -> Iterator[None]:
        """`told` hears when frames can be sent, and when they cannot any more."""
        self._watchers.add(told)
        try:
            yield
        finally:
            self._watchers.discard(told)

    async def run(self) -> None:
        if not self._address:
            await asyncio.Event().wait()  # until cancelled
        failures = 0
        # Without the tracing interceptors: the stream outlives every trace.
        async with grpc.aio.insecure_channel(self._address, options=grpc_client.OPTIONS) as channel:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    await self._connect(channel)
                except LOST as error:
                    lasted = asyncio.get_running_loop().time() - began if self.connected else 0.0
                    failures = 1 if lasted > PAUSE_MAX_SECONDS else failures + 1
                    if failures == 1:
                        log.info("no previews for now", address=self._address, detail=words(error))
                    metrics.PREVIEW_CONNECTIONS_LOST.inc()
                finally:
                    self._mark(False)
                await asyncio.sleep(_pause(failures))

    async def _connect(self, channel: grpc.aio.Channel) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            await channel.channel_ready()
        call: Call = PreviewServiceStub(channel).Publish()
        self._mark(True)
        log.info("previews go to the preview service", address=self._address)
        try:
            await together(_ended(call), self._send(call))
        finally:
            call.cancel()

    async def _send(self, call: Call) -> None:
        while True:
            self._offered.clear()
            while self._waiting:
                frame = self._waiting.pop(next(iter(self._waiting)))
                async with asyncio.timeout(WRITE_SECONDS):
                    await call.write(PublishRequest(frame=frame))
                metrics.PREVIEWS.labels("sent").inc()
            await self._offered.wait()

    def _mark(self, connected: bool) -> None:
        if connected == self.connected:
            return
        self.connected = connected
        metrics.PREVIEW_CONNECTED.set(connected)
        metrics.PREVIEWS.labels("lost").inc(len(self._waiting))
        self._waiting.clear()
        for told in list(self._watchers):
            told(connected)


async def _ended(call: Call) -> None:
    await call
    raise PublishEnded("closed by the preview service")


def _pause(failures: int) -> float:
    """Seconds before the next try: growing, with jitter."""
    longest = min(PAUSE_MAX_SECONDS, PAUSE_SECONDS * 2.0 ** min(failures, 10))
    return random.uniform(longest / 2, longest)
