"""Outbox → broker → consumer, on the embedded parts: nothing lost, nothing twice, poison set aside."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.jobs.v1.commands_pb2 import CancelJob
from edgecore_contracts.cloudevents import Event
from edgecore_contracts.topics import JOB_COMMANDS, catalogue
from edgecore_runtime import dlq, relay
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.consumer import Consumer, PermanentFailure
from edgecore_runtime.database import Database, metadata
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.ids import new_id
from edgecore_runtime.kafka_clients import opened, producer
from edgecore_runtime.outbox import Inbox, Outbox, inbox_table, outbox_table
from edgecore_runtime.relay import Relay
from edgecore_runtime.testing import SESSION_SECONDS, eventually

SCHEMA = "public"
RECOVERY_SECONDS = 100.0
"""In which a consumer is surely back after its broker: a request without an answer is given up after 20 s, a
client that does not close after 30 s, and opening the next one takes 35 s at most."""


class Chassis:
    """One service's event machinery with a handler that notes what it saw."""

    def __init__(self, url: str, bootstrap: str) -> None:
        tables = metadata(SCHEMA)
        self.tables = tables
        self.database = Database(url, SCHEMA, pool_size=5)
        self.outbox = Outbox(outbox_table(tables), "test", SystemClock())
        self.inbox = Inbox(inbox_table(tables))
        self.relay = Relay(self.database, self.outbox, bootstrap, timedelta(hours=1))
        self.seen: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.group = new_id("group")
        self.consumer = Consumer(
            bootstrap,
            self.group,
            [JOB_COMMANDS],
            self.handle,
            self.database,
            self.inbox,
            SystemClock(),
            session_seconds=SESSION_SECONDS,
        )

    async def handle(self, event: Event, session: AsyncSession) -> None:
        if self.failures.get(event.key):
            raise self.failures[event.key].pop()
        self.seen.append(event.key)

    async def forget(self) -> None:
        """As if nothing had been consumed."""
        async with self.database.engine.begin() as connection:
            await connection.execute(self.inbox.table.delete())
        self.seen.clear()

    async def committed(self, bootstrap: str) -> None:
        """Wait until the group's offsets cover what was seen.

        A commit still on its way when the broker dies would reach the next one and speak of a log that is gone.
        """
        onlooker = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=self.group, enable_auto_commit=False)
        async with opened(onlooker):
            partitions = [TopicPartition(JOB_COMMANDS, n) for n in range(catalogue()[JOB_COMMANDS].partitions)]
            onlooker.assign(partitions)

            async def covered() -> bool:
                offsets = [await onlooker.committed(partition) or 0 for partition in partitions]
                return sum(offsets) >= len(self.seen)

            await eventually(covered, 30)

    async def all_sent(self, events: int) -> None:
        """Wait until the broker has acknowledged so many."""

        async def sent() -> bool:
            async with self.database.reading() as session:
                rows = await session.execute(select(func.count(self.outbox.table.c.sent_at)))
                return rows.scalar_one() == events

        await eventually(sent, 30)

    async def publish(self, *keys: str) -> None:
        for key in keys:
            async with self.database.transaction() as session:
                await self.outbox.add(session, CancelJob(job_id=key), key)


@asynccontextmanager
async def relaying(url: str, embedded: EmbeddedParts) -> AsyncIterator[Chassis]:
    """Events are sent, and nobody consumes them yet."""
    chassis = Chassis(url, embedded.kafka_bootstrap)
    async with chassis.database.engine.begin() as connection:
        await connection.run_sync(chassis.tables.create_all)
    try:
        async with in_background(chassis.relay.run()):
            yield chassis
    finally:
        await chassis.database.stop()


@asynccontextmanager
async def running(url: str, embedded: EmbeddedParts) -> AsyncIterator[Chassis]:
    async with relaying(url, embedded) as chassis, in_background(chassis.consumer.run()):
        yield chassis


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError), result


@pytest.fixture
def keys() -> list[str]:
    return [new_id("job") for _ in range(20)]


async def test_every_event_arrives_once_and_in_order(
    database_url: str, embedded: EmbeddedParts, keys: list[str]
) -> None:
    async with running(database_url, embedded) as chassis:
        await chassis.publish(*keys, *keys)
        await eventually(lambda: len([key for key in chassis.seen if key in keys]) >= 2 * len(keys), 30)
        assert sorted(key for key in chassis.seen if key in keys) == sorted(keys * 2)


async def test_a_replay_has_no_second_effect(database_url: str, embedded: EmbeddedParts, keys: list[str]) -> None:
    async with running(database_url, embedded) as chassis:
        await chassis.publish(*keys)
        await eventually(lambda: set(keys) <= set(chassis.seen), 30)
        async with chassis.database.transaction() as session:
            assert await chassis.outbox.replay(session) == len(keys)
        marker = new_id("job")
        await chassis.publish(marker)
        await eventually(lambda: marker in chassis.seen, 30)
        assert sorted(key for key in chassis.seen if key in keys) == sorted(keys)


async def test_a_broker_that_lost_its_log_is_filled_again(
    database_url: str, embedded: EmbeddedParts, keys: list[str]
) -> None:
    async with running(database_url, embedded) as chassis:
        await chassis.publish(*keys[:10])
        await eventually(lambda: set(keys[:10]) <= set(chassis.seen), 30)
        await chassis.committed(embedded.kafka_bootstrap)
        await asyncio.to_thread(embedded.kill_broker)
        await chassis.publish(*keys[10:])
        await asyncio.to_thread(embedded.restart_broker)
        await eventually(lambda: set(keys) <= set(chassis.seen), RECOVERY_SECONDS)
        assert sorted(key for key in chassis.seen if key in keys) == sorted(keys)


@pytest.mark.log_in_memory
async def test_an_idle_loss_of_the_log_is_noticed(
    database_url: str, embedded: EmbeddedParts, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledged but not yet consumed when the broker died, and nothing new to send."""
    monkeypatch.setattr(relay, "REPLAY_BATCH", len(keys) // 3)  # more than one
    async with relaying(database_url, embedded) as chassis:
        await chassis.publish(*keys)
        await chassis.all_sent(len(keys))
        await asyncio.to_thread(embedded.restart_broker)
        async with in_background(chassis.consumer.run()):
            await eventually(lambda: set(keys) <= set(chassis.seen), RECOVERY_SECONDS)


async def test_poison_is_parked_and_its_partition_flows_on(
    database_url: str, embedded: EmbeddedParts, keys: list[str]
) -> None:
    key = keys[0]
    async with running(database_url, embedded) as chassis:
        async with opened(producer(embedded.kafka_bootstrap)) as kafka:
            await kafka.send_and_wait(JOB_COMMANDS, key=key.encode(), value=b"\xff garbage", headers=[])
        await chassis.publish(key)
        await eventually(lambda: key in chassis.seen, 30)

        async def parked() -> list[dlq.DeadLetter]:
            letters = await dlq.read(embedded.kafka_bootstrap, JOB_COMMANDS)
            return [letter for letter in letters if letter.key == key.encode()]

        (letter,) = await eventually(parked)
        assert letter.body == b"\xff garbage"
        assert "ce_" in letter.reason


async def test_failures_are_tried_again_and_permanent_ones_parked_and_replayable(
    database_url: str, embedded: EmbeddedParts, keys: list[str]
) -> None:
    flaky, hopeless = keys[:2]
    async with running(database_url, embedded) as chassis:
        chassis.failures = {
            flaky: [RuntimeError("once"), RuntimeError("twice")],
            hopeless: [PermanentFailure("no")],
        }
        await chassis.publish(flaky, hopeless)
        await eventually(lambda: flaky in chassis.seen, 30)

        async def parked() -> list[dlq.DeadLetter]:
            letters = await dlq.read(embedded.kafka_bootstrap, JOB_COMMANDS)
            return [letter for letter in letters if letter.key == hopeless.encode()]

        letter = (await eventually(parked, 30))[0]
        assert (letter.reason, letter.attempts, letter.topic) == ("no", 1, JOB_COMMANDS)
        assert hopeless not in chassis.seen
        assert await dlq.replay(embedded.kafka_bootstrap, JOB_COMMANDS, letter.event_id) == 1
        await eventually(lambda: hopeless in chassis.seen, 30)


async def test_a_rolled_back_transaction_publishes_nothing(
    database_url: str, embedded: EmbeddedParts, keys: list[str]
) -> None:
    async with running(database_url, embedded) as chassis:

        async def change_my_mind() -> None:
            async with chassis.database.transaction() as session:
                await chassis.outbox.add(session, CancelJob(job_id=keys[0]), keys[0])
                raise RuntimeError("changed my mind")

        with pytest.raises(RuntimeError, match="changed my mind"):
            await change_my_mind()
        await chassis.publish(keys[1])
        await eventually(lambda: keys[1] in chassis.seen, 30)
        async with chassis.database.reading() as session:
            rows = (await session.execute(select(chassis.outbox.table.c.key))).scalars().all()
        assert rows == [keys[1]]


@pytest.mark.log_in_memory
async def test_a_broker_that_came_back_with_fewer_partitions_is_filled_again(
    database_url: str, embedded: EmbeddedParts, keys: list[str]
) -> None:
    """A client that asks too early makes the embedded broker create the topic by itself, with four partitions."""
    async with running(database_url, embedded) as chassis:
        await chassis.publish(*keys)
        await eventually(lambda: set(keys) <= set(chassis.seen), 30)
        await chassis.committed(embedded.kafka_bootstrap)
        await chassis.forget()
        await asyncio.to_thread(embedded.restart_broker)
        async with opened(producer(embedded.kafka_bootstrap)) as early:
            await early.partitions_for(JOB_COMMANDS)
        await eventually(lambda: set(keys) <= set(chassis.seen), RECOVERY_SECONDS)
