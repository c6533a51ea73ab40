"""The Kafka consumer runner: a visible chain of steps for each record.

    fetch → decode → trace → handle in one transaction with the inbox → commit the offset

Each failure has one meaning:
    MalformedEvent, PermanentFailure   dead-letter at once: another try would end the same way
    a transient database failure       slow down: the record waits, the offset stays
    anything else                      retry with growing pauses, then dead-letter
A flood of dead letters stops the consumer instead of emptying the topic into the dead-letter queue.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_contracts.cloudevents import Event, MalformedEvent, decode
from edgecore_contracts.topics import catalogue
from edgecore_runtime import crash, dlq, kafka_clients, logs, telemetry
from edgecore_runtime.backoff import Backoff
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database, is_transient
from edgecore_runtime.kafka_clients import opened
from edgecore_runtime.kafka_topics import ensure_topics
from edgecore_runtime.log_witness import LogWitness
from edgecore_runtime.outbox import Inbox

Handler = Callable[[Event, AsyncSession], Awaitable[None]]

ATTEMPTS = 5
BACKOFF_SECONDS = (0.05, 5.0)
BATCH = 200
PARALLEL_PARTITIONS = 8
POLL_MILLISECONDS = 500
SILENT_SECONDS = 30.0
FLOOD = 50
FLOOD_SECONDS = 60.0
REQUEST_SECONDS = 20.0
LOOK_SECONDS = 5.0
PRUNE_SECONDS = 3600.0
INBOX_RETENTION = timedelta(days=31)
"""Longer than any event can come again: the longest outbox retention is 30 days."""

handled = Counter("edgecore_events_handled_total", "Events whose effect is committed", ["group", "type"])
repeated = Counter("edgecore_events_repeated_total", "Events seen again, without effect", ["group"])
retried = Counter("edgecore_events_retried_total", "Tries after the first", ["group"])
dead = Counter("edgecore_events_dead_total", "Events sent to the dead-letter topic", ["group"])
lag = Gauge("edgecore_consumer_lag", "Records behind the log's end, of the partitions owned", ["group"])

log = logs.get(__name__)


class PermanentFailure(Exception):
    """A handler raises this for an event that can never be handled."""


class DeadLetterFlood(RuntimeError):
    """Too many events in a row cannot be handled: the fault is probably ours, so consuming stops."""


class Consumer:
    """Consumes topics as one member of a group, until cancelled."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: list[str],
        handler: Handler,
        database: Database,
        inbox: Inbox,
        clock: Clock,
        session_seconds: float = 10.0,
    ) -> None:
        self._bootstrap = bootstrap
        self._session_seconds = session_seconds
        self._group = group
        self._topics = topics
        self._handler = handler
        self._database = database
        self._inbox = inbox
        self._clock = clock
        self._last_poll = clock.monotonic()
        self._dead_times: deque[float] = deque(maxlen=FLOOD)
        self._witness = LogWitness(bootstrap)
        self._slots = asyncio.Semaphore(PARALLEL_PARTITIONS)
        self._next_prune = 0.0
        self._backoff = Backoff(*BACKOFF_SECONDS)

    async def run(self) -> None:
        """Consume; a broker or database that is away is waited for. Raises DeadLetterFlood."""
        while True:
            try:
                await self._session()
            except Exception as error:
                if not (isinstance(error, KafkaError) or is_transient(error)):
                    raise
                log.warning(
                    "consumer waits for broker or database", error=repr(error), seconds=self._backoff.seconds
                )
                self._last_poll = self._clock.monotonic()
                await self._backoff.pause()

    async def check(self) -> str | None:
        """A liveness check: the loop must have polled, or waited for the broker, lately."""
        silent = self._clock.monotonic() - self._last_poll
        return f"no poll for {silent:.0f} s" if silent > SILENT_SECONDS else None

    async def _session(self) -> None:
        """One membership in the group; ends when the watchdog finds it stale, raises when the broker is lost."""
        async with asyncio.timeout(REQUEST_SECONDS):
            await ensure_topics(self._bootstrap, self._topics)
        async with (
            opened(
                kafka_clients.member(self._bootstrap, self._group, self._topics, self._session_seconds)
            ) as consumer,
            opened(kafka_clients.producer(self._bootstrap)) as producer,
        ):
            await self._consume(consumer, producer)

    async def _consume(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        self._backoff.reset()
        stale_since: float | None = None
        next_look = 0.0
        while True:
            async with asyncio.timeout(REQUEST_SECONDS):
                batches = await consumer.getmany(timeout_ms=POLL_MILLISECONDS, max_records=BATCH)
            self._last_poll = now = self._clock.monotonic()
            if batches:
                stale_since = None
                await self._partitions(consumer, producer, batches)
            if now >= next_look:
                next_look = now + LOOK_SECONDS
                await self._prune(now)
                waits = await self._waits(consumer)
                stale_since = (stale_since or now) if waits and not batches else None
                if stale_since is not None and now - stale_since > SILENT_SECONDS / 2:
                    log.warning("records may be waiting and none arrive; joining the group anew")
                    return

    async def _prune(self, now: float) -> None:
        """Forget old inbox rows, now and then."""
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_SECONDS
            async with self._database.transaction() as session:
                await self._inbox.prune(session, INBOX_RETENTION)

    async def _waits(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether records may be waiting for us: the log is longer than read, or shorter, or we own nothing.

        With 64 partitions owning nothing means a group that got stuck, not one that has too many members.
        """
        owned = list(consumer.assignment())
        if not owned:
            return True
        async with asyncio.timeout(REQUEST_SECONDS):
            ends = await consumer.end_offsets(owned)
            positions = {partition: await consumer.position(partition) for partition in owned}
            read = {partition: position - 1 for partition, position in positions.items() if position > 0}
            lost = await self._witness.lost(ends, read)
        ahead = sum(max(int(ends[partition] - positions[partition]), 0) for partition in owned)
        lag.labels(self._group).set(ahead)
        return bool(ahead or lost)

    async def _partitions(
        self,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        batches: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]],
    ) -> None:
        """All at once; when one fails the others end too, before the clients are closed."""
        tasks = [asyncio.create_task(self._partition(consumer, producer, p, r)) for p, r in batches.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _partition(
        self,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        partition: TopicPartition,
        records: list[ConsumerRecord[bytes, bytes]],
    ) -> None:
        """Handle a partition's records in order, then commit how far we came."""
        async with self._slots:
            for record in records:
                await self._record(producer, record)
        crash.point("ack.before")
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                # A position before what was read means assigned anew since, perhaps of a new log: read again.
                if await consumer.position(partition) > records[-1].offset:
                    # By name: a bare commit() after a rebalance commits what we no longer own.
                    await consumer.commit({partition: records[-1].offset + 1})
        except (CommitFailedError, IllegalStateError):
            log.info("partition moved before its commit; its new owner repeats", partition=partition.partition)
        crash.point("ack.after")

    async def _record(self, producer: AIOKafkaProducer, record: ConsumerRecord[bytes, bytes]) -> None:
        try:
            event = decode(record.key, record.value, record.headers)
        except MalformedEvent as error:
            await self._bury(producer, record, str(error), attempts=1)
            return
        attempts = 0
        backoff = Backoff(*BACKOFF_SECONDS)
        while True:
            try:
                await self._handle(event)
                return
            except PermanentFailure as error:
                await self._bury(producer, record, str(error), attempts + 1)
                return
            except Exception as error:
                # A database that is away is nobody's fault in this record: it waits as long as it takes.
                attempts += 0 if is_transient(error) else 1
                if attempts >= ATTEMPTS:
                    log.exception("event cannot be handled", event_id=event.id, event_type=event.type)
                    await self._bury(producer, record, repr(error), attempts)
                    return
                log.warning("event will be tried again", event_id=event.id, error=repr(error))
                retried.labels(self._group).inc()
                self._last_poll = self._clock.monotonic()
                await backoff.pause()

    async def _handle(self, event: Event) -> None:
        """Effect and inbox row in one transaction."""
        with (
            telemetry.span(f"consume {event.type}", event.trace_context, SpanKind.CONSUMER, event_id=event.id),
            logs.bind(job_id=event.key),
        ):
            async with self._database.transaction() as session:
                if await self._inbox.first_time(session, event):
                    await self._handler(event, session)
                    handled.labels(self._group, event.type).inc()
                else:
                    repeated.labels(self._group).inc()

    async def _bury(
        self, producer: AIOKafkaProducer, record: ConsumerRecord[bytes, bytes], reason: str, attempts: int
    ) -> None:
        """Park the record with its reason; the offset is committed only after this is acknowledged."""
        now = self._clock.monotonic()
        self._dead_times.append(now)
        if len(self._dead_times) == FLOOD and now - self._dead_times[0] < FLOOD_SECONDS:
            raise DeadLetterFlood(f"{FLOOD} events within {FLOOD_SECONDS:.0f} s could not be handled: {reason}")
        headers = dlq.headers_for(record.headers, record.topic, reason, self._group, attempts)
        topic = catalogue()[record.topic].dead_letters
        async with asyncio.timeout(REQUEST_SECONDS):
            await producer.send_and_wait(topic, key=record.key, value=record.value, headers=headers)
        dead.labels(self._group).inc()
        log.error("event parked", topic=record.topic, offset=record.offset, reason=reason)
