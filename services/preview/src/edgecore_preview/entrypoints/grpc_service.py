"""PreviewService: frames in from nodes, frames out to viewers."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from edgecore.preview.v1 import preview_pb2 as pb
from edgecore.preview.v1 import preview_pb2_grpc
from edgecore_contracts.errors import EdgecoreError, FieldProblem, InvalidInput, Unavailable
from edgecore_contracts.statuses import STATUS
from edgecore_preview.adapters.fan_out import FanOut
from edgecore_preview.adapters.intake import Intake, Tally
from edgecore_preview.adapters.store import FrameStore
from edgecore_preview.domain.frames import is_job_id
from edgecore_preview.domain.slot import Closed
from edgecore_runtime.backoff import Backoff

SETTLE_SECONDS = 1.0
"""How long a publisher's answer waits for the fate of its last frames; what is open then counts as dropped."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

Context = grpc.aio.ServicerContext[Any, Any]


class PreviewService(preview_pb2_grpc.PreviewServiceServicer):
    """Serves every call of the contract."""

    def __init__(self, store: FrameStore, intake: Intake, fan_out: FanOut) -> None:
        self._store = store
        self._intake = intake
        self._fan_out = fan_out

    async def Publish(
        self, request_iterator: AsyncIterator[pb.PublishRequest], context: Context
    ) -> pb.PublishResponse:
        """Reads as fast as frames come, whatever Redis does. A bad frame is dropped; the stream goes on."""
        tally = Tally()
        async for request in request_iterator:
            self._intake.take(request.frame, tally)
        await tally.settled(SETTLE_SECONDS)
        return pb.PublishResponse(accepted=tally.accepted, dropped=tally.dropped + tally.open)

    async def Subscribe(
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeResponse]:
        """Kept frames above `after` in their order, then the latest of those that come, until the caller goes."""
        try:
            _check_job_id(request.job_id)
            async for response in self._frames(request.job_id, request.after):
                yield response
        except EdgecoreError as error:  # the runtime's interceptor does this for the other kinds of call
            await context.abort(STATUS[type(error)], error.detail)

    async def Snapshot(self, request: pb.SnapshotRequest, context: Context) -> pb.SnapshotResponse:
        """The newest frame. Raises Unavailable while Redis is away."""
        _check_job_id(request.job_id)
        return pb.SnapshotResponse(frame=await self._store.newest(request.job_id))

    async def _frames(self, job_id: str, after: int) -> AsyncIterator[pb.SubscribeResponse]:
        with self._fan_out.viewer(job_id) as (slot, channel):
            seen = after
            await channel.placed.wait()
            while True:
                slot.clear()  # what it was given until now is in Redis
                kept = await self._kept(job_id, seen)
                if not kept:
                    break
                for frame in kept:
                    seen = frame.number
                    yield pb.SubscribeResponse(frame=frame)
            try:
                while True:
                    frame, skipped = await slot.take()
                    if frame.number > seen:
                        seen = frame.number
                        yield pb.SubscribeResponse(frame=frame, skipped=skipped)
            except Closed as error:
                raise Unavailable("the preview service is stopping; subscribe again") from error

    async def _kept(self, job_id: str, after: int) -> list[pb.Frame]:
        """Asks until Redis answers: a viewer waits for frames anyway."""
        pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                return await self._store.after(job_id, after)
            except Unavailable:
                await pauses.pause()


def _check_job_id(job_id: str) -> None:
    if not is_job_id(job_id):
        raise InvalidInput([FieldProblem("job_id", "must be 1 to 64 letters, digits, - or _")])
