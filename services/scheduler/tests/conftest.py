"""The real scheduler over the embedded parts, and nodes played by hand over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore.jobs.v1.commands_pb2 import CancelJob, GenerateVideo
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore_contracts.cloudevents import Event
from edgecore_runtime import grpc_client
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.kafka_clients import opened, producer
from edgecore_runtime.service import RunningService, Service
from edgecore_scheduler.adapters import tables
from edgecore_scheduler.bootstrap import build
from edgecore_scheduler.settings import Settings

SECONDS = 20.0


class Node:
    """A hand-played node: what the test sends, and what the scheduler answered."""

    def __init__(self, stub: Any, node_id: str) -> None:
        self.node_id = node_id
        self._outbound: asyncio.Queue[pb.WorkerMessage | None] = asyncio.Queue()
        self._call = stub.Work(self._messages())

    async def _messages(self) -> AsyncIterator[pb.WorkerMessage]:
        while (message := await self._outbound.get()) is not None:
            yield message

    def send(self, **message: Any) -> None:
        self._outbound.put_nowait(pb.WorkerMessage(**message))

    async def register(self, leases: list[pb.LeaseRef] | None = None, **changes: Any) -> None:
        known = {
            "node_id": self.node_id,
            "pool": "default",
            "device": "cpu",
            "backend": "aiprod",
            "capacity": 1,
        }
        register = known | {"models": ["aiprod-nano"], "leases": leases or []} | changes
        self.send(register=pb.Register(**register))
        await self.receive("welcome")

    async def receive(self, kind: str) -> Any:
        """The next message of this kind; others in between are skipped."""
        async with asyncio.timeout(SECONDS):
            while True:
                message = await self._call.read()
                if not isinstance(message, pb.SchedulerMessage):
                    raise EOFError(f"stream ended while waiting for {kind}")
                if message.WhichOneof("message") == kind:
                    return getattr(message, kind)

    def progress(self, lease: pb.LeaseRef, stage: int, step: int = 0, steps: int = 20) -> None:
        self.send(progress=pb.Progress(lease=lease, stage=stage, step=step, steps=steps))  # type: ignore[arg-type]

    def finish(self, lease: pb.LeaseRef, outcome: str, reason: str) -> None:
        finished = pb.Finished(lease=lease, outcome=f"ATTEMPT_OUTCOME_{outcome}", reason=f"REASON_{reason}")
        if outcome == "SUCCEEDED":
            finished.artifact.key = f"jobs/x/{lease.token}/video.mp4"
        finished.measurements.generate_seconds = 1.5
        self.send(finished=finished)

    def close(self) -> None:
        self._call.cancel()


class Scheduler:
    """The running service with doors for tests."""

    def __init__(self, service: Service, database: Database, bootstrap: str, stub: Any) -> None:
        self.service = service
        self.database = database
        self.stub = stub
        self._bootstrap = bootstrap
        self._nodes: list[Node] = []

    def node(self, node_id: str = "node-1") -> Node:
        node = Node(self.stub, node_id)
        self._nodes.append(node)
        return node

    def close_nodes(self) -> None:
        for node in self._nodes:
            node.close()

    async def send(self, *messages: GenerateVideo | CancelJob, times: int = 1) -> None:
        """Put commands on the topic, as the gateway's relay does."""
        async with opened(producer(self._bootstrap)) as kafka:
            for message in messages:
                event = Event(new_id("evt"), "edgecore/test", SystemClock().now(), message.job_id, message)
                headers = [(name, value.encode()) for name, value in event.headers().items()]
                for _ in range(times):
                    await kafka.send_and_wait(
                        "edgecore.job-commands.v1",
                        key=event.key.encode(),
                        value=event.body(),
                        headers=headers,
                    )

    async def generate(self, model: str = "aiprod-nano", times: int = 1) -> str:
        job_id = new_id("job")
        spec = GenerationSpec(model=model, prompt="a red circle", width=64, height=64, frames=17, fps=8, steps=20)
        await self.send(GenerateVideo(job_id=job_id, user_id="user_a", spec=spec), times=times)
        return job_id

    async def cancel(self, job_id: str) -> None:
        await self.send(CancelJob(job_id=job_id, user_id="user_a"))

    async def history(self, job_id: str) -> list[str]:
        """The job's states in order, its versions checked to have no gaps."""
        async with self.database.reading() as session:
            rows = await self._history(session, job_id)
        assert [row.version for row in rows] == list(range(1, len(rows) + 1))
        return [row.target for row in rows]

    async def _history(self, session: AsyncSession, job_id: str) -> Any:
        own = select(tables.transitions).where(tables.transitions.c.job_id == job_id)
        return (await session.execute(own.order_by(tables.transitions.c.version))).all()

    async def state(self, job_id: str) -> str | None:
        history = await self.history(job_id)
        return history[-1] if history else None


@asynccontextmanager
async def running(url: str, embedded: EmbeddedParts, **changes: Any) -> AsyncIterator[Scheduler]:
    settings = Settings(
        database_url=url,
        kafka_bootstrap=embedded.kafka_bootstrap,
        http_port=0,
        grpc_port=0,
        kafka_session_timeout=2.0,
        **({"lease_ttl": 2.0, "heartbeat_interval": 0.2, "retry_pause": 0.01} | changes),
    )
    await tables.schema.migrate(settings)
    service = build(settings)
    database = Database(url, tables.SCHEMA, 3)
    async with RunningService(service):
        port = next(one.port for one in service.components if isinstance(one, GrpcServer))
        channel = grpc_client.channel(f"127.0.0.1:{port}")
        scheduler = Scheduler(
            service, database, settings.kafka_bootstrap, scheduler_pb2_grpc.SchedulerServiceStub(channel)
        )
        try:
            yield scheduler
        finally:
            scheduler.close_nodes()
            await channel.close()
            await database.stop()


@pytest.fixture
async def scheduler(database_url: str, embedded: EmbeddedParts) -> AsyncIterator[Scheduler]:
    async with running(database_url, embedded) as started:
        yield started
