"""The outbox relay: takes unsent rows in order, publishes them, marks them sent when acknowledged.

One relay at a time per outbox, held by an advisory lock, as two would break the order within a key. When the
broker's log turns out shorter than what it had acknowledged (an in-memory broker restarted, a topic was
re-created), everything retained is published again and consumers absorb what they know.
"""

import asyncio
import zlib
from contextlib import suppress
from datetime import timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge
from sqlalchemy import bindparam, func, select, text, update

from edgecore_contracts.topics import catalogue
from edgecore_runtime import crash, kafka_clients, logs
from edgecore_runtime.backoff import Backoff
from edgecore_runtime.database import Database, is_transient
from edgecore_runtime.kafka_clients import opened
from edgecore_runtime.kafka_topics import ensure_topics
from edgecore_runtime.log_witness import LogWitness
from edgecore_runtime.outbox import Outbox

BATCH = 100
POLL_SECONDS = 1.0
LOG_CHECK_SECONDS = 2.0
ACKNOWLEDGE_SECONDS = 20.0
REPLAY_BATCH = 20_000
"""Rows marked in one statement, whose time is limited."""
PRUNE_SECONDS = 600.0
BACKOFF_SECONDS = (0.1, 2.0)

published = Counter("edgecore_outbox_published_total", "Events acknowledged by the broker", ["topic"])
pending = Gauge("edgecore_outbox_unsent", "Rows seen unsent at the last look")
replayed = Counter("edgecore_outbox_replayed_total", "Rows published again after the broker lost its log")

log = logs.get(__name__)


class Relay:
    """Publishes one service's outbox for as long as the service lives."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        bootstrap: str,
        retention: timedelta,
        idempotent: bool = False,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._bootstrap = bootstrap
        self._retention = retention
        self._idempotent = idempotent
        self._wake = asyncio.Event()
        self._acknowledged: dict[TopicPartition, int] = {}
        self._witness = LogWitness(bootstrap)
        self._next_prune = 0.0
        self._backoff = Backoff(*BACKOFF_SECONDS)
        database.after_commit(self._wake.set)

    async def run(self) -> None:
        """Relay until cancelled; a broker or database that is away is waited for with growing pauses."""
        while True:
            try:
                await self._session()
            except Exception as error:
                if not (isinstance(error, KafkaError) or is_transient(error)):
                    raise
                log.warning("relay waits for broker or database", error=repr(error), seconds=self._backoff.seconds)
                await self._backoff.pause()

    async def _session(self) -> None:
        """One connection to the broker under the lock; raises when either is lost."""
        partitions = await self._ensure_topics()
        async with self._database.engine.connect() as lock:
            try:
                await self._lead(lock)
                async with (
                    opened(kafka_clients.producer(self._bootstrap, self._idempotent)) as producer,
                    opened(kafka_clients.reader(self._bootstrap)) as reader,
                ):
                    await self._load_acknowledged()
                    if any(one.partition >= partitions.get(one.topic, 0) for one in self._acknowledged):
                        await self._publish_again()
                    await self._relay(producer, reader, lock)
            finally:
                # Given back to the pool, the connection would keep the lock from us and everyone.
                await lock.invalidate()

    async def _lead(self, lock: Any) -> None:
        """Wait for the lock without holding a statement open: the other relay may live for days."""
        key = zlib.crc32(f"edgecore-relay-{self._database.schema}".encode())
        while True:
            held = await lock.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
            await lock.commit()
            if held:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _relay(self, producer: AIOKafkaProducer, reader: AIOKafkaConsumer, lock: Any) -> None:
        self._backoff.reset()
        loop = asyncio.get_running_loop()
        next_check = loop.time()
        while True:
            self._wake.clear()
            if loop.time() >= next_check:
                await lock.execute(text("SELECT 1"))  # raises when the lock's connection is gone
                await lock.commit()
                await self._mend_lost_log(reader)
                await self._prune(loop.time())
                next_check = loop.time() + LOG_CHECK_SECONDS
            if await self._publish_batch(producer) < BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()

    async def _publish_batch(self, producer: AIOKafkaProducer) -> int:
        """Publish the oldest unsent rows and mark the acknowledged ones; returns how many there were."""
        table = self._outbox.table
        async with self._database.engine.connect() as connection:
            unsent = select(table).where(table.c.sent_at.is_(None)).order_by(table.c.id).limit(BATCH)
            rows = (await connection.execute(unsent)).all()
        pending.set(len(rows))
        if not rows:
            return 0
        crash.point("publish.before")
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            sends = [
                await producer.send(
                    row.topic,
                    key=row.key.encode(),
                    value=bytes(row.body),
                    headers=[(name, value.encode()) for name, value in row.headers.items()],
                )
                for row in rows
            ]
            results = await asyncio.gather(*sends, return_exceptions=True)
        crash.point("publish.after")
        acknowledged = []
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, BaseException):
                continue
            acknowledged.append({"row": row.id, "partition": result.partition, "offset": result.offset})
            self._note(result)
        if acknowledged:
            async with self._database.engine.begin() as connection:
                marked = update(table).where(table.c.id == bindparam("row"))
                await connection.execute(
                    marked.values(
                        sent_at=func.clock_timestamp(),
                        sent_partition=bindparam("partition"),
                        sent_offset=bindparam("offset"),
                    ),
                    acknowledged,
                )
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise failures[0]
        return len(rows)

    def _note(self, result: Any) -> None:
        published.labels(result.topic).inc()
        partition = TopicPartition(result.topic, result.partition)
        if result.offset <= self._acknowledged.get(partition, -1):
            # A new log answers with offsets we had before; keep the higher one, so that the check sees it.
            return
        self._acknowledged[partition] = result.offset

    async def _load_acknowledged(self) -> None:
        table = self._outbox.table
        highest = (
            select(table.c.topic, table.c.sent_partition, func.max(table.c.sent_offset))
            .where(table.c.sent_at.is_not(None))
            .group_by(table.c.topic, table.c.sent_partition)
        )
        async with self._database.engine.connect() as connection:
            rows = (await connection.execute(highest)).all()
        self._acknowledged = {TopicPartition(topic, partition): offset for topic, partition, offset in rows}

    async def _mend_lost_log(self, reader: AIOKafkaConsumer) -> None:
        """Publish everything retained again if the broker no longer has what it acknowledged."""
        if not self._acknowledged:
            return
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            ends = await reader.end_offsets(list(self._acknowledged))
        if await self._witness.lost(ends, self._acknowledged):
            await self._ensure_topics()
            await self._publish_again()

    async def _ensure_topics(self) -> dict[str, int]:
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            return await ensure_topics(self._bootstrap, list(catalogue()))

    async def _publish_again(self) -> None:
        count, batch = 0, REPLAY_BATCH
        while batch == REPLAY_BATCH:
            async with self._database.transaction() as session:
                batch = await self._outbox.replay(session, most=REPLAY_BATCH)
            count += batch
        self._acknowledged = {}
        replayed.inc(count)
        log.warning("the broker lost its log; publishing again", rows=count)

    async def _prune(self, now: float) -> None:
        if now < self._next_prune:
            return
        self._next_prune = now + PRUNE_SECONDS
        async with self._database.transaction() as session:
            await self._outbox.prune(session, self._retention)
