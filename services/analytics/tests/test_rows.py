"""The rows that events end in, on a real PostgreSQL: order, repetition, concurrency, retention, migrations."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest_asyncio
from sqlalchemy import func, select

from edgecore.scheduler.v1.events_pb2 import NodeStateChanged, PoolSnapshot
from edgecore_analytics.adapters import fleet, tables
from edgecore_analytics.adapters.usage import usage
from edgecore_analytics.domain.period import Bucket, Period
from edgecore_analytics.entrypoints.events import handle
from edgecore_analytics.entrypoints.timers import prune
from edgecore_analytics.settings import Settings
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.states import JobState
from edgecore_runtime.database import Database
from edgecore_runtime.testing import schema_drift

SHUFFLES = 12


@pytest_asyncio.fixture
async def database(empty_database: str) -> AsyncIterator[Database]:
    await tables.schema.migrate(Settings(database_url=empty_database, kafka_bootstrap="nowhere:1"))
    one = Database(empty_database, tables.SCHEMA, 8)
    yield one
    await one.stop()


async def fold(database: Database, kit: SimpleNamespace, messages: list[Any]) -> None:
    for message in messages:
        async with database.transaction() as session:
            await handle(kit.enveloped(message), session)


async def figures(database: Database, start: datetime) -> Any:
    period = Period(start - timedelta(hours=1), start + timedelta(hours=1), Bucket.HOUR)
    async with database.reading() as session:
        return await usage(session, period, "")


async def test_any_order_gives_the_same_figures(database: Database, kit: SimpleNamespace) -> None:
    chance = random.Random(20261121)
    seen = []
    for number in range(SHUFFLES):
        # Each round the same two jobs, under new names and in a month of its own.
        start = kit.START + timedelta(days=30 * number)
        events = kit.life("user_a", accepted_at=start, backends=("aiprod", "runway"), micros=7)
        events += kit.life("user_b", accepted_at=start, end=JobState.ERROR, seconds=3)
        events += chance.sample(events, 6)
        chance.shuffle(events)
        await fold(database, kit, events)
        found = await figures(database, start)
        seen.append((found.total, list(found.buckets.values()), found.customers))
    assert seen == [seen[0]] * SHUFFLES
    total = seen[0][0]
    assert (total.jobs, total.delivered, total.failed, total.fallbacks, total.attempts) == (2, 1, 1, 1, 3)
    assert (total.cost_micros, total.video_seconds, total.compute_seconds) == (7 + 7 + 30, 2.0, 5.25)


async def test_events_of_one_job_that_come_at_once_take_turns(database: Database, kit: SimpleNamespace) -> None:
    events = kit.life(backends=("aiprod", "aiprod", "veo"))
    await asyncio.gather(*(fold(database, kit, [event]) for event in events))
    total = (await figures(database, kit.START)).total
    assert (total.delivered, total.attempts, total.fallbacks, total.cost_micros) == (1, 3, 1, 90)


async def test_a_job_counts_once_its_acceptance_is_known(database: Database, kit: SimpleNamespace) -> None:
    command, *others = kit.life()
    await fold(database, kit, others)
    assert (await figures(database, kit.START)).total.jobs == 0
    await fold(database, kit, [command])
    assert (await figures(database, kit.START)).total.delivered == 1


async def test_the_newest_word_on_a_pool_and_a_node_stands(database: Database, kit: SimpleNamespace) -> None:
    now = datetime.now(UTC)
    pools, nodes = [], []
    for age, queued, state in ((2, 5, "READY"), (0, 9, "GONE"), (1, 7, "DRAINING")):
        at = timestamp(now - timedelta(seconds=age))
        pools.append(PoolSnapshot(occurred_at=at))
        pools[-1].pool.pool, pools[-1].pool.backend, pools[-1].pool.queued = "local", "aiprod", queued
        nodes.append(NodeStateChanged(node_id="n", pool="local", state=f"NODE_STATE_{state}", occurred_at=at))
    for message in pools + nodes:
        async with database.transaction() as session:
            await handle(kit.enveloped(message, "local"), session)
    async with database.reading() as session:
        found = await fleet.now(session)
    assert [(pool.pool, pool.queued) for pool in found.pools] == [("local", 9)]
    assert found.nodes == {("local", "GONE"): 1}


async def test_what_is_past_the_retention_goes_with_its_attempts_and_costs(
    database: Database, kit: SimpleNamespace
) -> None:
    now = datetime.now(UTC)
    await fold(database, kit, kit.life("user_old", accepted_at=now - timedelta(days=11)))
    await fold(database, kit, kit.life("user_new", accepted_at=now - timedelta(days=9)))
    await prune(database, timedelta(days=10))
    async with database.reading() as session:
        assert list(await session.scalars(select(tables.jobs.c.user_id))) == ["user_new"]
        for table in (tables.attempts, tables.costs):
            assert await session.scalar(select(func.count()).select_from(table)) == 1


async def test_the_migrations_make_the_tables(database: Database) -> None:
    assert await schema_drift(database, tables.tables) == []
