"""Frames of videos in the making, from the preview service: best effort, and never in the way of a job's end."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import grpc
from prometheus_client import Gauge

from edgecore.preview.v1 import preview_pb2, preview_pb2_grpc
from edgecore_contracts.errors import ResourceExhausted
from edgecore_runtime.backoff import Backoff
from edgecore_runtime.grpc_client import Peer

SNAPSHOT_SECONDS = 0.5
USERS_LEAST = 5
"""So many users find a seat, whatever one of them opens."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between tries while the preview service is away."""

watching = Gauge("edgecore_gateway_preview_viewers", "Open previews, WebSocket and SSE")


class PreviewClient(Peer):
    """One channel for all viewers; each has a call of its own, and one of `viewers_most` seats.

    A user gets a fifth of them at most.
    """

    def __init__(self, address: str, viewers_most: int) -> None:
        super().__init__(address)
        self._viewers_most = viewers_most
        self._own_most = max(1, viewers_most // USERS_LEAST)
        self._viewers: Counter[str] = Counter()

    def check_room(self, user_id: str) -> None:
        """Raises ResourceExhausted when every seat is taken, or all that one user may have."""
        if self._viewers.total() >= self._viewers_most:
            raise ResourceExhausted(f"{self._viewers_most} previews are the most at a time; try again later")
        if self._viewers[user_id] >= self._own_most:
            raise ResourceExhausted(f"you have {self._own_most} previews open: close one first")

    @contextmanager
    def seat(self, user_id: str) -> Iterator[None]:
        """Raises ResourceExhausted."""
        self.check_room(user_id)
        self._viewers[user_id] += 1
        watching.inc()
        try:
            yield
        finally:
            watching.dec()
            self._viewers[user_id] -= 1
            if not self._viewers[user_id]:
                del self._viewers[user_id]

    async def follow(self, job_id: str, after: int) -> AsyncGenerator[preview_pb2.SubscribeResponse, None]:
        """The job's frames above number `after`, for ever: goes on by itself after the service was away."""
        pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        if self._channel is None:
            await asyncio.Event().wait()
            return
        stub = preview_pb2_grpc.PreviewServiceStub(self._channel)
        while True:
            call = stub.Subscribe(preview_pb2.SubscribeRequest(job_id=job_id, after=after))
            try:
                async for response in call:
                    after = max(after, response.frame.number)
                    pauses.reset()
                    yield response
            except grpc.RpcError:
                pass  # whatever it is: the end comes from elsewhere, and until then there may be frames again
            finally:
                call.cancel()
            await pauses.pause()

    async def newest(self, job_id: str) -> preview_pb2.Frame | None:
        """The newest frame; None when there is none, or nobody to say so."""
        if self._channel is None:
            return None
        stub = preview_pb2_grpc.PreviewServiceStub(self._channel)
        try:
            answer = await stub.Snapshot(preview_pb2.SnapshotRequest(job_id=job_id), timeout=SNAPSHOT_SECONDS)
        except grpc.RpcError:
            return None
        return answer.frame if answer.HasField("frame") else None
