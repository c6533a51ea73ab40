"""The real autoscaler over parts of its own: its consumer must not meet the events of other services' tests."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore.jobs.v1.commands_pb2 import CancelJob, GenerateVideo
from edgecore.scheduler.v1.events_pb2 import NODE_STATE_READY, NodeStateChanged, PoolSnapshot
from edgecore.scheduler.v1.scheduler_pb2 import Pool
from edgecore_autoscaler.adapters.tables import SCHEMA, demand, schema, snapshots
from edgecore_autoscaler.bootstrap import build
from edgecore_autoscaler.settings import Settings
from edgecore_contracts.cloudevents import Event, timestamp
from edgecore_contracts.topics import JOB_COMMANDS, POOL_EVENTS
from edgecore_runtime.clock import Clock, SystemClock
from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts
from edgecore_runtime.http import HttpServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.kafka_clients import opened, producer
from edgecore_runtime.service import RunningService
from edgecore_runtime.testing import SESSION_SECONDS

POOLS = """
- name: local
  model: aiprod-nano
  minReplicas: 1
  maxReplicas: 6
  coldStartSeconds: 10
  scaleInStabilization: 2m
  forecast: {mode: Act, horizon: 15s}
"""

_numbers = itertools.count(1)


@dataclass
class House:
    """A running autoscaler, and what stands around it."""

    url: str
    settings: Settings
    database: Database

    async def say(self, topic: str, key: str, *messages: Any, event_id: str | None = None) -> None:
        """Publish messages as their owners do."""
        async with opened(producer(self.settings.kafka_bootstrap)) as kafka:
            for message in messages:
                event = Event(event_id or new_id("evt"), "edgecore/test", SystemClock().now(), key, message)
                headers = [(name, value.encode()) for name, value in event.headers().items()]
                await kafka.send_and_wait(topic, key=key.encode(), value=event.body(), headers=headers)

    async def garbage(self, topic: str) -> None:
        async with opened(producer(self.settings.kafka_bootstrap)) as kafka:
            await kafka.send_and_wait(topic, key=b"x", value=b"\xff\xff", headers=[("ce_id", b"1")])

    async def snapshot(self, at: datetime, pool: str = "local", key: str = "", **fields: Any) -> None:
        known = {"backend": "aiprod", "nodes_ready": 2, "capacity": 2}
        message = PoolSnapshot(pool=Pool(pool=pool, **(known | fields)), occurred_at=timestamp(at))
        await self.say(POOL_EVENTS, key or pool, message)

    async def arrive(
        self, at: datetime, count: int = 1, model: str = "aiprod-nano", event_id: str | None = None
    ) -> None:
        spec = GenerationSpec(model=model, prompt="a red circle")
        jobs = [GenerateVideo(job_id=new_id("job"), spec=spec, accepted_at=timestamp(at)) for _ in range(count)]
        await self.say(JOB_COMMANDS, jobs[0].job_id if jobs else "", *jobs, event_id=event_id)

    async def other_messages(self, at: datetime) -> None:
        node = NodeStateChanged(node_id="n", pool="local", state=NODE_STATE_READY, occurred_at=timestamp(at))
        await self.say(POOL_EVENTS, "local", node)
        await self.say(JOB_COMMANDS, "job_x", CancelJob(job_id="job_x"))

    async def pools(self) -> list[dict[str, Any]]:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self.url}/pools")
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    async def pool(self, name: str = "local") -> dict[str, Any]:
        return next((one for one in await self.pools() if one["name"] == name), {})

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(f"{self.url}{path}")

    async def demand(self) -> list[tuple[str, datetime, int, float]]:
        async with self.database.reading() as session:
            rows = await session.execute(select(demand).order_by(demand.c.minute))
            return [(row.model, row.minute, row.jobs, row.gpu_seconds) for row in rows]

    async def snapshot_of(self, pool: str) -> Any:
        async with self.database.reading() as session:
            return (await session.execute(select(snapshots).where(snapshots.c.pool == pool))).one_or_none()


@asynccontextmanager
async def running(
    parts: EmbeddedParts, folder: Path, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[House]:
    pools = folder / "pools.yaml"
    pools.write_text(POOLS)
    values: dict[str, Any] = {
        "database_url": parts.database_url(f"autoscaler_{next(_numbers)}"),
        "kafka_bootstrap": parts.kafka_bootstrap,
        "kafka_session_timeout": SESSION_SECONDS,
        "http_port": 0,
        "reconcile_interval": 0.1,
        "pools_file": str(pools),
    }
    settings = Settings(**values | changes)
    await schema.migrate(settings)
    service = build(settings, clock)
    database = Database(settings.database_url, SCHEMA, 3)
    try:
        async with RunningService(service):
            server = service.components[-1]
            assert isinstance(server, HttpServer)
            yield House(f"http://127.0.0.1:{server.port}", settings, database)
    finally:
        await database.stop()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedParts]:
    """A module's own: its only consumer group starts at the log's beginning."""
    with embedded_parts(tmp_path_factory.mktemp("autoscaler-parts")) as started:
        yield started


@pytest.fixture
def start() -> Any:
    """`start(parts, folder, …)` as an async context manager: a running autoscaler."""
    return running


@pytest.fixture
async def house(parts: EmbeddedParts, tmp_path: Path) -> AsyncIterator[House]:
    async with running(parts, tmp_path) as started:
        yield started
