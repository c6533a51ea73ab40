"""A running gateway on parts of its own: its consumer must not meet the events of other services' tests."""

import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from edgecore.common.v1 import common_pb2
from edgecore.jobs.v1 import events_pb2
from edgecore.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from edgecore_contracts.cloudevents import Event
from edgecore_contracts.errors import NotFound
from edgecore_contracts.states import JobState, Reason
from edgecore_contracts.topics import JOB_COMMANDS, JOB_EVENTS
from edgecore_gateway.adapters import users
from edgecore_gateway.adapters.keys import add_key
from edgecore_gateway.adapters.tables import SCHEMA, schema
from edgecore_gateway.bootstrap import build
from edgecore_gateway.domain.api_keys import new_key
from edgecore_gateway.domain.principal import ALL_SCOPES, Role, Scope
from edgecore_gateway.settings import Settings
from edgecore_runtime import kafka_clients, telemetry
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.http import HttpServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.service import RunningService, Service
from edgecore_runtime.testing import eventually, own_parts, published

_numbers = itertools.count(1)

PATH = [
    (JobState.INIT, JobState.QUEUED, Reason.ACCEPTED, 0),
    (JobState.QUEUED, JobState.ALLOCATED, Reason.ASSIGNED, 1),
    (JobState.ALLOCATED, JobState.GENERATING, Reason.STARTED, 1),
    (JobState.GENERATING, JobState.FINALIZING, Reason.SAMPLED, 1),
    (JobState.FINALIZING, JobState.DELIVERED, Reason.COMPLETED, 1),
]


def changed(job_id: str, version: int, artifact: common_pb2.Artifact | None = None) -> events_pb2.JobStateChanged:
    """The `version`-th step of a job that goes well."""
    before, after, reason, attempt = PATH[version - 1]
    message = events_pb2.JobStateChanged(
        job_id=job_id,
        version=version,
        to=after.to_proto(),
        reason=reason.to_proto(),
        detail=f"step {version}",
        attempt=attempt,
        node_id="node-0" if attempt else "",
        backend="aiprod",
    )
    setattr(message, "from", before.to_proto())
    message.occurred_at.FromDatetime(datetime(2026, 11, 21, 8, 0, version, tzinfo=UTC))
    if after is JobState.DELIVERED:
        default = common_pb2.Artifact(key=f"jobs/{job_id}/1-1/video.mp4", size_bytes=10, sha256="ab" * 32)
        message.artifact.CopyFrom(artifact or default)
    return message


def ended(job_id: str) -> events_pb2.AttemptFinished:
    message = events_pb2.AttemptFinished(
        job_id=job_id,
        attempt=1,
        outcome=events_pb2.ATTEMPT_OUTCOME_SUCCEEDED,
        reason=Reason.COMPLETED.to_proto(),
        node_id="node-0",
        measurements=common_pb2.Measurements(
            device="cpu", generate_seconds=2.5, encode_seconds=0.25, upload_seconds=0.25, peak_memory_bytes=2**33
        ),
    )
    message.occurred_at.FromDatetime(datetime(2026, 11, 21, 8, 0, 9, tzinfo=UTC))
    return message


def failed(job_id: str, version: int) -> events_pb2.JobStateChanged:
    """An end in ERROR after two steps."""
    message = changed(job_id, version)
    setattr(message, "from", JobState.QUEUED.to_proto())
    message.to = JobState.ERROR.to_proto()
    message.reason = Reason.OUT_OF_MEMORY.to_proto()
    message.detail = "three attempts ran out of memory"
    message.ClearField("artifact")
    return message


def enveloped(message: Any, event_id: str | None = None) -> Event:
    return Event(event_id or new_id("evt"), "edgecore/scheduler", datetime.now(UTC), message.job_id, message)


@dataclass
class Scheduler(scheduler_pb2_grpc.SchedulerServiceServicer):
    """What answers GetProgress in place of the scheduler, over a real connection."""

    known: dict[str, scheduler_pb2.GetProgressResponse] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    """By job."""

    async def GetProgress(
        self, request: scheduler_pb2.GetProgressRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> scheduler_pb2.GetProgressResponse:
        self.calls[request.job_id] += 1
        if request.job_id not in self.known:
            raise NotFound("no such job")
        return self.known[request.job_id]


@dataclass
class House:
    """A gateway with its database, its events and its scheduler's stand-in."""

    url: str
    settings: Settings
    database: Database
    producer: AIOKafkaProducer
    scheduler: Scheduler
    artifacts: Path

    async def say(self, *events: Event) -> None:
        """Publish events as the scheduler does."""
        for event in events:
            headers = [(name, value.encode()) for name, value in event.headers().items()]
            await self.producer.send_and_wait(
                JOB_EVENTS, key=event.key.encode(), value=event.body(), headers=headers
            )

    async def tell(self, *messages: Any) -> None:
        await self.say(*(enveloped(message) for message in messages))

    @asynccontextmanager
    async def new_caller(
        self, role: Role = Role.USER, scopes: Iterable[Scope] = ALL_SCOPES
    ) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client with the key of a user of its own."""
        key, user_id = new_key(), new_id("user")
        async with self.database.transaction() as session:
            await users.add(session, user_id, name="A test", role=role)
            await add_key(session, user_id, "A test", key, scopes)
        headers = {"Authorization": f"Bearer {key.text}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client:
            yield client

    async def commands(self, job_id: str) -> list[Event]:
        """Every command about the job that the broker has now."""
        found = await published(self.settings.kafka_bootstrap, JOB_COMMANDS)
        return [event for event in found if event.key == job_id]


def settings_for(parts: EmbeddedParts, folder: Path, **others: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": parts.database_url(f"gateway_{next(_numbers)}"),
        "kafka_bootstrap": parts.kafka_bootstrap,
        "object_store_url": f"file://{folder / 'artifacts'}",
        "http_port": 0,
    }
    return Settings(**values | others)


def url_of(service: Service) -> str:
    server = service.components[-1]
    assert isinstance(server, HttpServer)
    return f"http://127.0.0.1:{server.port}"


parts = own_parts("gateway-parts")


@pytest.fixture(scope="session")
def preview_address() -> Iterator[str]:
    """Where tests of previews put a stand-in; for the others that service is away.

    The port is held, so that no other process is given it: who connects is refused, a server may listen.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", free_ports(1)[0]))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(
    parts: EmbeddedParts, preview_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("gateway")
    telemetry.configure("gateway", otlp_endpoint="", trace_file="")
    scheduler = Scheduler()
    server = GrpcServer(
        "127.0.0.1",
        0,
        [],
        lambda grpc_server: scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(scheduler, grpc_server),
    )
    await server.start()
    addresses = {"scheduler_address": f"127.0.0.1:{server.port}", "preview_address": preview_address}
    settings = settings_for(parts, folder, key_cache=0, preview_send_timeout=60.0, **addresses)
    await schema.migrate(settings)
    service = build(settings)
    database = Database(settings.database_url, SCHEMA, 4)
    try:
        async with (
            RunningService(service),
            kafka_clients.opened(kafka_clients.producer(settings.kafka_bootstrap)) as producer,
        ):
            house = House(url_of(service), settings, database, producer, scheduler, folder / "artifacts")
            await _heard(house)
            yield house
    finally:
        await database.stop()
        await server.stop()


async def _heard(house: House) -> None:
    """Wait until the gateway's consumer has its partitions: a group's first members take ten seconds to gather."""

    async def queued() -> bool:
        return bool((await client.get(f"/api/v1/status/{job_id}")).json()["state"] == "QUEUED")

    async with house.new_caller() as client:
        job_id = await new_job(client)
        await house.tell(changed(job_id, 1))
        await eventually(queued, 60)


@pytest_asyncio.fixture(loop_scope="session")
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.new_caller() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.new_caller() as one:
        yield one


async def new_job(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/api/v1/generate", json={"prompt": "a red circle moving right"} | fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="session")
def kit(parts: EmbeddedParts) -> SimpleNamespace:
    """The functions above, for tests: pytest imports test files apart from one another."""

    def settings_alone(folder: Path, **others: Any) -> Settings:
        """Without a broker; the development user's secrets are in `folder`."""
        values = {"kafka_bootstrap": f"127.0.0.1:{free_ports(1)[0]}"}
        files = {"dev_key_file": str(folder / "key"), "dev_password_file": str(folder / "password")}
        return settings_for(parts, folder, **values | files | others)

    @asynccontextmanager
    async def alone(settings: Settings, clock: Clock | None = None) -> AsyncIterator[str]:
        """The URL of a gateway with these settings."""
        await schema.migrate(settings)
        service = build(settings, clock)
        async with RunningService(service):
            yield url_of(service)

    return SimpleNamespace(
        alone=alone,
        settings_alone=settings_alone,
        changed=changed,
        ended=ended,
        failed=failed,
        enveloped=enveloped,
        new_job=new_job,
        settings_for=settings_for,
        url_of=url_of,
    )
