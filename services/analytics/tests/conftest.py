"""A running analytics service on parts of its own, and a job's life as events."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from edgecore.analytics.v1 import analytics_pb2 as pb
from edgecore.analytics.v1 import analytics_pb2_grpc
from edgecore.cost.v1.events_pb2 import CostPosted
from edgecore.jobs.v1.commands_pb2 import GenerateVideo
from edgecore.jobs.v1.events_pb2 import AttemptFinished, JobStateChanged
from edgecore_analytics.adapters.tables import schema
from edgecore_analytics.bootstrap import build
from edgecore_analytics.settings import Settings
from edgecore_contracts.cloudevents import Event, timestamp
from edgecore_contracts.states import JobState, Reason
from edgecore_contracts.topics import topic_of
from edgecore_runtime import grpc_client, kafka_clients
from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.http import HttpServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.service import RunningService
from edgecore_runtime.testing import SESSION_SECONDS, own_parts

START = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
SECONDS = 20.0

_numbers = itertools.count(1)

Message = GenerateVideo | JobStateChanged | AttemptFinished | CostPosted


def life(
    user_id: str = "user_a",
    *,
    job_id: str | None = None,
    accepted_at: datetime = START,
    seconds: float = 10.0,
    backends: tuple[str, ...] = ("aiprod",),
    end: JobState = JobState.DELIVERED,
    micros: int = 30,
    model: str = "aiprod-nano",
) -> list[Message]:
    """Every event of a job that tries `backends` one after another, ends after `seconds`, and costs `micros`
    an attempt. It makes 2 s of video."""
    job_id = job_id or new_id("job")
    ended_at = timestamp(accepted_at + timedelta(seconds=seconds))
    command = GenerateVideo(job_id=job_id, user_id=user_id, accepted_at=timestamp(accepted_at))
    command.spec.model, command.spec.frames, command.spec.fps = model, 16, 8.0
    found: list[Message] = [command]
    version = itertools.count(1)

    def move(state: JobState, reason: Reason, attempt: int, backend: str = "") -> None:
        change = JobStateChanged(
            job_id=job_id,
            user_id=user_id,
            version=next(version),
            to=state.to_proto(),
            reason=reason.to_proto(),
            attempt=attempt,
            backend=backend,
            occurred_at=ended_at,
        )
        if state is JobState.DELIVERED:
            change.artifact.frames, change.artifact.fps = 16, 8.0
        found.append(change)

    move(JobState.QUEUED, Reason.ACCEPTED, 0)
    for number, backend in enumerate(backends, 1):
        last = number == len(backends)
        outcome, reason = ("FAILED", Reason.TIMEOUT)
        if last and end is not JobState.ERROR:
            outcome, reason = (
                ("SUCCEEDED", Reason.COMPLETED)
                if end is JobState.DELIVERED
                else ("CANCELLED", Reason.CANCELLED_BY_USER)
            )
        move(JobState.ALLOCATED, Reason.ASSIGNED, number, backend)
        move(JobState.GENERATING, Reason.STARTED, number, backend)
        finished = AttemptFinished(
            job_id=job_id,
            user_id=user_id,
            attempt=number,
            outcome=f"ATTEMPT_OUTCOME_{outcome}",
            reason=reason.to_proto(),
            backend=backend,
            occurred_at=ended_at,
        )
        finished.measurements.generate_seconds = 1.5
        finished.measurements.encode_seconds = 0.25
        found.append(finished)
        line = CostPosted(job_id=job_id, user_id=user_id, attempt=number, kind="COST_KIND_COMPUTE")
        line.amount.micros, line.amount.currency = micros, "USD"
        line.price_id, line.quantity = "price_cpu_2026", 1.75
        line.occurred_at.CopyFrom(ended_at)
        found.append(line)
        move(end if last else JobState.QUEUED, reason, number, backend)
    return found


@dataclass
class House:
    """Analytics with its database, its event log and a channel to its questions."""

    url: str
    settings: Settings
    database: Database
    producer: AIOKafkaProducer
    stub: Any

    async def say(self, *events: Event) -> None:
        for event in events:
            headers = [(name, value.encode()) for name, value in event.headers().items()]
            await self.producer.send_and_wait(
                topic_of(event.message).name, key=event.key.encode(), value=event.body(), headers=headers
            )

    async def tell(self, *messages: Any, key: str = "") -> None:
        """Publish messages as their owners do, each as an event of its own."""
        await self.say(*(enveloped(message, key) for message in messages))

    async def ask(
        self,
        user_id: str = "",
        start: datetime = START - timedelta(hours=1),
        end: datetime = START + timedelta(hours=2),
        bucket: Any = pb.BUCKET_HOUR,
    ) -> pb.GetUsageResponse:
        request = pb.GetUsageRequest(user_id=user_id, to=timestamp(end), bucket=bucket)
        getattr(request, "from").CopyFrom(timestamp(start))
        answer: pb.GetUsageResponse = await self.stub.GetUsage(request, timeout=SECONDS)
        return answer


def enveloped(message: Any, key: str = "") -> Event:
    return Event(new_id("evt"), "edgecore/test", datetime.now(UTC), key or message.job_id, message)


@asynccontextmanager
async def running(url: str, bootstrap: str, **changes: Any) -> AsyncIterator[House]:
    values = {"http_port": 0, "grpc_port": 0, "kafka_session_timeout": SESSION_SECONDS, "gauge_interval": 0.1}
    settings = Settings(database_url=url, kafka_bootstrap=bootstrap, **values | changes)
    await schema.migrate(settings)
    service = build(settings)
    database = Database(url, schema.name, 4)
    try:
        async with (
            RunningService(service),
            kafka_clients.opened(kafka_clients.producer(bootstrap)) as producer,
        ):
            ports = {type(one): one.port for one in service.components if isinstance(one, GrpcServer | HttpServer)}
            channel = grpc_client.channel(f"127.0.0.1:{ports[GrpcServer]}")
            stub = analytics_pb2_grpc.AnalyticsServiceStub(channel)
            try:
                yield House(f"http://127.0.0.1:{ports[HttpServer]}", settings, database, producer, stub)
            finally:
                await channel.close()
    finally:
        await database.stop()


parts = own_parts("analytics-parts")


@pytest.fixture
def empty_database(parts: EmbeddedParts) -> str:
    return parts.database_url(f"analytics_{next(_numbers)}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(parts: EmbeddedParts) -> AsyncIterator[House]:
    """For a module: between the tests of others its loop would stand still, and its connections go stale."""
    async with running(parts.database_url("analytics"), parts.kafka_bootstrap) as one:
        yield one


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The functions above, for tests: pytest imports test files apart from one another."""
    return SimpleNamespace(life=life, enveloped=enveloped, running=running, START=START)
