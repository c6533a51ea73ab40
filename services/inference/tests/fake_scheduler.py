"""A scheduler that speaks the protocol and does what the test tells it: the node's other side."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore.scheduler.v1.scheduler_pb2 import (
    Accepted,
    Assign,
    Cancel,
    Drain,
    Finished,
    Heartbeat,
    LeaseRef,
    Progress,
    Register,
    Revoked,
    SchedulerMessage,
    Stage,
    Welcome,
    WorkerMessage,
)
from edgecore.scheduler.v1.scheduler_pb2_grpc import (
    SchedulerServiceServicer,
    add_SchedulerServiceServicer_to_server,
)
from edgecore_runtime.embedded.ports import free_ports

SPEC = GenerationSpec(
    model="aiprod-nano", prompt="draw", width=64, height=64, frames=17, fps=8.0, steps=4, guidance=4.0
)


Out = asyncio.Queue[SchedulerMessage | None]
"""What one stream still has to say; None ends it."""


class FakeScheduler(SchedulerServiceServicer):
    """Accepts every report of a lease it granted, revokes all others; remembers what it heard, in order."""

    def __init__(self, ttl: float = 60.0, heartbeat: float = 0.05) -> None:
        self.ttl, self.heartbeat = ttl, heartbeat
        self.heard: list[WorkerMessage] = []
        self.streams = 0
        self.answers = True
        """False: reports are heard and not answered."""
        self.granted: dict[str, LeaseRef] = {}
        self._out: Out | None = None
        self._server: grpc.aio.Server | None = None
        (self.port,) = free_ports(1)

    async def start(self) -> None:
        """Listen, again and again on the same port."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_SchedulerServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        self.drop()
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def Work(self, requests: AsyncIterator[WorkerMessage], context: Any) -> AsyncIterator[SchedulerMessage]:
        out: Out = asyncio.Queue()
        reading = asyncio.create_task(self._read(requests, out))
        try:
            while (message := await out.get()) is not None:
                yield message
        finally:
            reading.cancel()
            if self._out is out:
                self._out = None

    async def _read(self, requests: AsyncIterator[WorkerMessage], out: Out) -> None:
        async for message in requests:
            self.heard.append(message)
            match message.WhichOneof("message"):
                case "register":
                    self.streams += 1
                    self._out = out
                    welcome = Welcome(lease_ttl=_duration(self.ttl), heartbeat_interval=_duration(self.heartbeat))
                    out.put_nowait(SchedulerMessage(welcome=welcome))
                case "finished" if self.answers:
                    self.answer(message.finished)
        out.put_nowait(None)

    # What the test does.

    @property
    def connected(self) -> bool:
        return self._out is not None

    def drop(self) -> None:
        """End the stream."""
        if self._out is not None:
            self._out.put_nowait(None)

    def assign(
        self,
        job_id: str,
        token: int = 1,
        time_limit: float = 600.0,
        trace_context: dict[str, str] | None = None,
        **spec: object,
    ) -> LeaseRef:
        lease = LeaseRef(lease_id=f"lease-{job_id}-{token}", token=token)
        self.granted[lease.lease_id] = lease
        wanted = GenerationSpec()
        wanted.CopyFrom(SPEC)
        wanted.MergeFrom(GenerationSpec(**spec))  # type: ignore[arg-type]
        self._say(
            assign=Assign(
                lease=lease,
                job_id=job_id,
                attempt=1,
                spec=wanted,
                time_limit=_duration(time_limit),
                trace_context=trace_context or {},
            )
        )
        return lease

    def cancel(self, lease: LeaseRef) -> None:
        self._say(cancel=Cancel(lease=lease))

    def revoke(self, lease: LeaseRef) -> None:
        self.granted.pop(lease.lease_id, None)
        self._say(revoked=Revoked(lease=lease, detail="another node has the job"))

    def drain(self) -> None:
        self._say(drain=Drain())

    def answer(self, finished: Finished) -> None:
        if finished.lease.lease_id in self.granted:
            self._say(accepted=Accepted(lease=finished.lease))
        else:
            self._say(revoked=Revoked(lease=finished.lease, detail="the token is stale"))

    def _say(self, **message: Any) -> None:
        assert self._out is not None, "no node is connected"
        self._out.put_nowait(SchedulerMessage(**message))

    # What the test looks at.

    def registrations(self) -> list[Register]:
        return [one.register for one in self.heard if one.HasField("register")]

    def heartbeats(self) -> list[Heartbeat]:
        return [one.heartbeat for one in self.heard if one.HasField("heartbeat")]

    def nothing_held(self) -> bool:
        """The newest heartbeat names no lease."""
        beats = self.heartbeats()
        return bool(beats) and not beats[-1].leases

    def progress(self, lease: LeaseRef) -> list[Progress]:
        found = [one.progress for one in self.heard if one.HasField("progress")]
        return [one for one in found if one.lease == lease]

    def reports(self, lease: LeaseRef) -> list[Finished]:
        found = [one.finished for one in self.heard if one.HasField("finished")]
        return [one for one in found if one.lease == lease]

    def sampling(self, lease: LeaseRef) -> bool:
        """The engine is in the sampling loop: the text is encoded."""
        return any(
            one.stage in (Stage.STAGE_LOADING, Stage.STAGE_SAMPLING) and one.step for one in self.progress(lease)
        )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
