"""What the scheduler knows of a running job beyond its events: best effort, and never in the way."""

import asyncio
from collections import OrderedDict

import grpc

from edgecore.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from edgecore_contracts.states import JobState
from edgecore_gateway.domain.job import Live
from edgecore_runtime.clock import Clock
from edgecore_runtime.grpc_client import Peer

CALL_SECONDS = 0.3
KEEP_SECONDS = 0.1
AWAY_SECONDS = 1.0
"""After a failed call nobody is asked for so long: a status must not wait for a service that is away."""
KEPT_MOST = 10_000

_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED}


class LiveProgress(Peer):
    """Asks the scheduler at most once per job and KEEP_SECONDS, whoever and however many want to know."""

    def __init__(self, address: str, clock: Clock) -> None:
        super().__init__(address)
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Live | None]] = OrderedDict()
        self._calls: dict[str, asyncio.Task[Live | None]] = {}
        self._away_until = 0.0

    async def stop(self) -> None:
        for call in self._calls.values():
            call.cancel()
        await super().stop()

    async def of(self, job_id: str) -> Live | None:
        """Where the job stands, at most KEEP_SECONDS old, or as it last stood while the scheduler is away."""
        now = self._clock.monotonic()
        until, live = self._kept.get(job_id, (0.0, None))
        if now < until:
            return live
        if self._channel is None or now < self._away_until:
            return live
        call = self._calls.get(job_id)
        if call is None:
            call = self._calls[job_id] = asyncio.create_task(self._ask(self._channel, job_id))
            call.add_done_callback(lambda _: self._calls.pop(job_id, None))
        # Shielded: one caller that goes away must not end the call of the others.
        return await asyncio.shield(call)

    def _last(self, job_id: str) -> Live | None:
        return self._kept.get(job_id, (0.0, None))[1]

    async def _ask(self, channel: grpc.aio.Channel, job_id: str) -> Live | None:
        request = scheduler_pb2.GetProgressRequest(job_id=job_id)
        try:
            answer = await scheduler_pb2_grpc.SchedulerServiceStub(channel).GetProgress(
                request, timeout=CALL_SECONDS
            )
            live: Live | None = _live(answer)
            if live is not None and live.state.terminal:
                live = self._last(job_id)  # its event is on the way; until then it stands where it last stood
        except grpc.RpcError as error:
            live = self._last(job_id)
            if error.code() in _AWAY:
                self._away_until = self._clock.monotonic() + AWAY_SECONDS
        except ValueError:
            live = None  # a state that a newer scheduler knows and we do not
        self._kept[job_id] = (self._clock.monotonic() + KEEP_SECONDS, live)
        self._kept.move_to_end(job_id)
        if len(self._kept) > KEPT_MOST:
            self._kept.popitem(last=False)
        return live


def _live(answer: scheduler_pb2.GetProgressResponse) -> Live:
    stage = scheduler_pb2.Stage.Name(answer.stage).removeprefix("STAGE_").lower() if answer.stage else None
    return Live(
        version=answer.version,
        state=JobState.from_proto(answer.state),
        stage=stage,
        step=answer.step,
        steps=answer.steps,
        queue_position=answer.queue_position or None,
        eta_seconds=round(answer.eta.ToTimedelta().total_seconds(), 3) if answer.HasField("eta") else None,
    )
