"""A running cost service on parts of its own: its consumer must not meet the events of other services' tests."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from edgecore.common.v1.common_pb2 import Artifact, GenerationSpec, Measurements, Reason
from edgecore.cost.v1 import cost_pb2 as pb
from edgecore.cost.v1 import cost_pb2_grpc
from edgecore.jobs.v1.commands_pb2 import GenerateVideo, ReservationState
from edgecore.jobs.v1.events_pb2 import AttemptFinished, AttemptOutcome, JobStateChanged
from edgecore.scheduler.v1.events_pb2 import PoolSnapshot
from edgecore.scheduler.v1.scheduler_pb2 import Pool
from edgecore_contracts.cloudevents import Event, timestamp
from edgecore_contracts.money import usd
from edgecore_contracts.states import JobState
from edgecore_contracts.topics import COST_EVENTS, topic_of
from edgecore_cost.adapters import tables
from edgecore_cost.bootstrap import build
from edgecore_cost.settings import Settings
from edgecore_runtime import grpc_client, kafka_clients
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.kafka_clients import opened
from edgecore_runtime.service import RunningService, Service
from edgecore_runtime.testing import SESSION_SECONDS, eventually, own_parts, published

_numbers = itertools.count(1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def spec(**changes: Any) -> GenerationSpec:
    values = {"model": "aiprod-nano", "prompt": "x", "width": 64, "height": 64, "frames": 17, "fps": 8.0}
    return GenerationSpec(**values | {"steps": 20, "guidance": 4.0} | changes)


def command(job_id: str, user: str, reservation: str = "SECURED", **more: Any) -> GenerateVideo:
    state = ReservationState.Value(f"RESERVATION_STATE_{reservation}")
    return GenerateVideo(job_id=job_id, user_id=user, spec=spec(), reservation=state, **more)


def attempt(
    job_id: str,
    user: str,
    number: int = 1,
    outcome: str = "SUCCEEDED",
    seconds: float = 2.0,
    backend: str = "aiprod",
    when: datetime | None = None,
    **measured: Any,
) -> AttemptFinished:
    message = AttemptFinished(
        job_id=job_id,
        user_id=user,
        attempt=number,
        outcome=AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{outcome}"),
        reason=Reason.REASON_COMPLETED,
        backend=backend,
        occurred_at=timestamp(when or now()),
    )
    if outcome != "LOST":
        values: dict[str, Any] = {"device": "cpu", "generate_seconds": seconds, "load_seconds": 9.0}
        message.measurements.CopyFrom(Measurements(**values | measured))
    return message


def ended(job_id: str, user: str, state: str = "DELIVERED", size: int = 2 * 10**9) -> JobStateChanged:
    message = JobStateChanged(job_id=job_id, user_id=user, version=9, attempt=1, occurred_at=timestamp(now()))
    message.to = JobState(state).to_proto()
    if state == "DELIVERED":
        message.artifact.CopyFrom(Artifact(key="k", size_bytes=size))
    return message


def snapshot(backend: str = "aiprod", ready: int = 1, at: float = 0.0, **more: Any) -> PoolSnapshot:
    pool = Pool(pool=f"pool-{backend}", backend=backend, nodes_ready=ready, capacity=ready, **more)
    return PoolSnapshot(pool=pool, occurred_at=timestamp(now() + timedelta(seconds=at)))


def enveloped(message: Any) -> Event:
    key = getattr(message, "job_id", "") or "pool"
    return Event(new_id("evt"), "edgecore/test", SystemClock().now(), key, message)


@dataclass
class House:
    """The running service with doors for tests."""

    service: Service
    settings: Settings
    database: Database
    stub: Any

    async def tell(self, *messages: Any, times: int = 1) -> None:
        await self.say(*(enveloped(message) for message in messages), times=times)

    async def say(self, *events: Event, times: int = 1) -> None:
        async with opened(kafka_clients.producer(self.settings.kafka_bootstrap)) as kafka:
            for event in events:
                headers = [(name, value.encode()) for name, value in event.headers().items()]
                for _ in range(times):
                    await kafka.send_and_wait(
                        topic_of(event.message).name, key=event.key.encode(), value=event.body(), headers=headers
                    )

    async def reserve(self, job_id: str, user: str, **more: Any) -> pb.ReserveResponse:
        request = pb.ReserveRequest(job_id=job_id, user_id=user, spec=more.pop("spec", spec()), **more)
        answer: pb.ReserveResponse = await self.stub.Reserve(request)
        return answer

    async def budget(self, user: str, micros: int | None) -> None:
        limit = None if micros is None else usd(micros)
        await self.stub.PutBudget(pb.PutBudgetRequest(budget=pb.Budget(user_id=user, limit=limit)))

    async def usage(self, user: str) -> tuple[int, int]:
        """(spent, reserved) in micros."""
        answer = await self.stub.GetUsage(pb.GetUsageRequest(user_id=user))
        return answer.spent.micros, answer.reserved.micros

    async def lines(self, job_id: str) -> list[tuple[int, str, int]]:
        table = tables.ledger
        async with self.database.reading() as session:
            rows = await session.execute(select(table).where(table.c.job_id == job_id))
            return sorted((row.attempt, row.kind, row.amount) for row in rows)

    async def reservation(self, job_id: str) -> Any:
        table = tables.reservations
        async with self.database.reading() as session:
            return (await session.execute(select(table).where(table.c.job_id == job_id))).one_or_none()

    async def emitted(self, key: str) -> list[Event]:
        """Every cost event with this key that the broker has now."""
        found = await published(self.settings.kafka_bootstrap, COST_EVENTS)
        return [event for event in found if event.key == key]


parts = own_parts("cost-parts")


@asynccontextmanager
async def running(parts: EmbeddedParts, url: str, **changes: Any) -> AsyncIterator[House]:
    values: dict[str, Any] = {
        "database_url": url,
        "kafka_bootstrap": parts.kafka_bootstrap,
        "http_port": 0,
        "grpc_port": 0,
        "kafka_session_timeout": SESSION_SECONDS,
        "refit_interval": 0.05,
        "fallback_backends": "runway,veo,replicate",
    }
    settings = Settings(**values | changes)
    await tables.schema.migrate(settings)
    service = build(settings)
    database = Database(url, tables.SCHEMA, 4)
    async with RunningService(service):
        port = next(one.port for one in service.components if isinstance(one, GrpcServer))
        channel = grpc_client.channel(f"127.0.0.1:{port}")
        await eventually(lambda: _well(service))
        try:
            yield House(service, settings, database, cost_pb2_grpc.CostServiceStub(channel))
        finally:
            await channel.close()
            await database.stop()


async def _well(service: Service) -> bool:
    return not await service.health.failures(service.health.ready)


@pytest.fixture(scope="session")
def fresh_url(parts: EmbeddedParts) -> Any:
    return lambda: parts.database_url(f"cost_{next(_numbers)}")


@pytest.fixture
async def house(parts: EmbeddedParts, fresh_url: Any) -> AsyncIterator[House]:
    async with running(parts, fresh_url()) as started:
        yield started


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The functions above, for tests: pytest imports test files apart from one another."""
    return SimpleNamespace(
        spec=spec,
        command=command,
        attempt=attempt,
        ended=ended,
        snapshot=snapshot,
        enveloped=enveloped,
        running=running,
    )
