"""The real scheduler over the embedded parts, and nodes played by hand over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore.cost.v1.events_pb2 import ReservationDecided
from edgecore.jobs.v1.commands_pb2 import BackendQuote, CancelJob, GenerateVideo
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore_contracts import cloudevents, money
from edgecore_contracts.cloudevents import Event
from edgecore_contracts.topics import topic_of
from edgecore_runtime import grpc_client
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.kafka_clients import opened, producer
from edgecore_runtime.service import RunningService, Service
from edgecore_runtime.testing import SESSION_SECONDS
from edgecore_scheduler.adapters import tables
from edgecore_scheduler.bootstrap import build
from edgecore_scheduler.settings import Settings

SECONDS = 60.0
"""A real broker's log outlives each suite: a new group first reads what the suites before have left on it."""


class Node:
    """A hand-played node: what the test sends, and what the scheduler answered."""

    def __init__(self, stub: Any, node_id: str) -> None:
        self.node_id = node_id
        self._outbound: asyncio.Queue[pb.WorkerMessage | None] = asyncio.Queue()
        self._call = stub.Work(self._messages())
        self._inbound: asyncio.Queue[pb.SchedulerMessage | BaseException] = asyncio.Queue()
        self._kept: list[pb.SchedulerMessage] = []
        # A task of its own: to give up waiting for a message must not end the stream.
        self._reading = asyncio.create_task(self._read())

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

    async def _read(self) -> None:
        try:
            while isinstance(message := await self._call.read(), pb.SchedulerMessage):
                self._inbound.put_nowait(message)
            self._inbound.put_nowait(EOFError("the stream ended"))
        except (grpc.RpcError, asyncio.CancelledError) as error:
            self._inbound.put_nowait(error)

    async def receive(self, kind: str, seconds: float = SECONDS) -> Any:
        """The next message of this kind; others in between are kept for later."""
        for message in self._kept:
            if message.WhichOneof("message") == kind:
                self._kept.remove(message)
                return getattr(message, kind)
        async with asyncio.timeout(seconds):
            while True:
                message = await self._inbound.get()
                if isinstance(message, BaseException):
                    raise message
                if message.WhichOneof("message") == kind:
                    return getattr(message, kind)
                self._kept.append(message)

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

    async def send(self, *messages: GenerateVideo | CancelJob | ReservationDecided, times: int = 1) -> None:
        """Put messages on their topics, as the relays of gateway and cost do."""
        async with opened(producer(self._bootstrap)) as kafka:
            for message in messages:
                event = Event(new_id("evt"), "edgecore/test", SystemClock().now(), message.job_id, message)
                headers = [(name, value.encode()) for name, value in event.headers().items()]
                for _ in range(times):
                    await kafka.send_and_wait(
                        topic_of(message).name,
                        key=event.key.encode(),
                        value=event.body(),
                        headers=headers,
                    )

    async def generate(self, model: str = "aiprod-nano", times: int = 1, **others: Any) -> str:
        """A new job; `quotes` (USD micros by backend) make it one that may go to providers."""
        job_id = new_id("job")
        spec = GenerationSpec(model=model, prompt="a red circle", width=64, height=64, frames=17, fps=8, steps=20)
        command = GenerateVideo(**{"job_id": job_id, "user_id": "user_a", "spec": spec, **_terms(others)})
        await self.send(command, times=times)
        return command.job_id

    async def decided(self, job_id: str, state: str, **quotes: int) -> None:
        """Cost says what became of a pending reservation."""
        values = {"state": f"RESERVATION_STATE_{state}", "quotes": _quotes(quotes)}
        await self.send(ReservationDecided(job_id=job_id, user_id="user_a", **values))  # type: ignore[arg-type]

    async def events(self, key: str) -> list[Any]:
        """Every event with this key that was or will be published, oldest first."""
        async with self.database.reading() as session:
            own = select(tables.outbox).where(tables.outbox.c.key == key).order_by(tables.outbox.c.id)
            rows = (await session.execute(own)).all()
        return [
            cloudevents.decode(key.encode(), row.body, [(n, v.encode()) for n, v in row.headers.items()]).message
            for row in rows
        ]

    async def explain(self, job_id: str) -> list[tuple[str, str, str]]:
        """The job's decisions: backend, verdict, code; their numbers checked to have no gaps."""
        answer = await self.stub.ExplainJob(pb.ExplainJobRequest(job_id=job_id))
        assert [one.number for one in answer.decisions] == list(range(1, len(answer.decisions) + 1))
        assert all(one.detail and one.HasField("decided_at") for one in answer.decisions)
        names = pb.Verdict.Name
        return [(one.backend, names(one.verdict).removeprefix("VERDICT_"), one.code) for one in answer.decisions]

    async def providers(self) -> dict[str, str]:
        """The breakers' states by backend."""
        answer = await self.stub.ListProviders(pb.ListProvidersRequest())
        return {
            one.backend: pb.BreakerState.Name(one.breaker).removeprefix("BREAKER_STATE_")
            for one in answer.providers
        }

    async def provider(self, backend: str = "runway", capacity: int = 1) -> Node:
        """A connected node of a paid provider."""
        node = self.node(f"{backend}-0")
        await node.register(backend=backend, pool=backend, models=[], device="api", capacity=capacity)
        return node

    async def end_pauses(self) -> None:
        """Jobs that wait for their next attempt may have it now."""
        async with self.database.transaction() as session:
            await session.execute(update(tables.jobs).values(not_before=func.clock_timestamp()))

    async def expire_leases(self) -> None:
        """As if no heartbeat had come for long."""
        async with self.database.transaction() as session:
            await session.execute(update(tables.leases).values(expires_at=func.clock_timestamp()))

    async def cancel(self, job_id: str) -> None:
        await self.send(CancelJob(job_id=job_id, user_id="user_a"))

    async def is_to_be_cancelled(self, job_id: str) -> bool:
        async with self.database.reading() as session:
            asked = select(tables.jobs.c.cancel_requested).where(tables.jobs.c.id == job_id)
            return bool((await session.execute(asked)).scalar_one())

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


def _terms(others: dict[str, Any]) -> dict[str, Any]:
    terms = dict(others)
    if "quotes" in terms:
        terms = {"fallback": True} | terms | {"quotes": _quotes(terms["quotes"])}
    if "max_cost" in terms:
        terms["max_cost"] = money.usd(terms["max_cost"])
    if "reservation" in terms:
        terms["reservation"] = f"RESERVATION_STATE_{terms['reservation']}"
    return terms


def _quotes(micros: dict[str, int]) -> list[BackendQuote]:
    return [BackendQuote(backend=name, upper_bound=money.usd(amount)) for name, amount in micros.items()]


@asynccontextmanager
async def running(url: str, embedded: EmbeddedParts, **changes: Any) -> AsyncIterator[Scheduler]:
    settings = Settings(
        database_url=url,
        kafka_bootstrap=embedded.kafka_bootstrap,
        http_port=0,
        grpc_port=0,
        kafka_session_timeout=SESSION_SECONDS,
        # Nobody here sends heartbeats: a lease ends where a test says so.
        **({"lease_ttl": 60.0, "heartbeat_interval": 0.2, "retry_pause": 0.01} | changes),
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
