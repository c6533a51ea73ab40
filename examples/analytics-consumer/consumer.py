"""Delivered videos and cost per user, from EDGECORE's event log, by a program that is no part of EDGECORE.

It needs two packages: `edgecore-contracts` (the messages) and `aiokafka`. It reads job-events and cost-events from
every partition, without a consumer group: how far it came is kept in its own file, in the same transaction as the
figures, so that neither can be ahead of the other, whatever kills it.
"""

# ruff: noqa: T201

import argparse
import asyncio
import contextlib
import signal
import sqlite3
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from edgecore.common.v1.common_pb2 import JOB_STATE_DELIVERED
from edgecore.cost.v1.events_pb2 import CostKind, CostPosted
from edgecore.jobs.v1.events_pb2 import JobStateChanged
from edgecore_contracts import money
from edgecore_contracts.cloudevents import MalformedEvent, decode
from edgecore_contracts.topics import COST_EVENTS, JOB_EVENTS

TOPICS = [JOB_EVENTS, COST_EVENTS]
POLL_SECONDS = 0.5
BATCH = 500
RETRY_SECONDS = 2.0
REQUEST_MILLISECONDS = 10_000
METADATA_MILLISECONDS = 5_000
"""How soon topics and partitions that did not exist at the start are noticed."""

# The keys are the facts' own, so an event that comes again (a replay, another broker) changes nothing.
TABLES = """
CREATE TABLE IF NOT EXISTS delivered (job_id TEXT PRIMARY KEY, user_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS costs (job_id TEXT, attempt INTEGER, kind TEXT, user_id TEXT NOT NULL,
    micros INTEGER NOT NULL, PRIMARY KEY (job_id, attempt, kind));
CREATE TABLE IF NOT EXISTS offsets (topic TEXT, partition INTEGER, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition));
"""
REPORT = """
SELECT user_id, sum(delivered), sum(micros) FROM (
    SELECT user_id, 1 AS delivered, 0 AS micros FROM delivered
    UNION ALL SELECT user_id, 0, micros FROM costs
) GROUP BY user_id ORDER BY user_id
"""


class Figures:
    """What was read, and how far; one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript(TABLES)

    def forget(self) -> None:
        """As if nothing had been read yet."""
        with self._database:
            for table in ("delivered", "costs", "offsets"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608

    def next_offset(self, partition: TopicPartition) -> int | None:
        found = self._database.execute("SELECT next FROM offsets WHERE topic = ? AND partition = ?", partition)
        row = found.fetchone()
        return row[0] if row else None

    def add(self, partition: TopicPartition, records: list[ConsumerRecord[bytes, bytes]]) -> None:
        """Fold a partition's records and remember the offset, both or neither."""
        with self._database:
            for record in records:
                self._fold(record)
            self._database.execute(
                "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", (*partition, records[-1].offset + 1)
            )

    def _fold(self, record: ConsumerRecord[bytes, bytes]) -> None:
        try:
            message = decode(record.key, record.value, record.headers).message
        except MalformedEvent as error:
            # A type that is newer than our contracts, or not an event: nothing to count, and no reason to stop.
            print(f"passed over {record.topic} offset {record.offset}: {error}", file=sys.stderr)
            return
        if isinstance(message, JobStateChanged) and message.to == JOB_STATE_DELIVERED:
            row = (message.job_id, message.user_id)
            self._database.execute("INSERT OR IGNORE INTO delivered VALUES (?, ?)", row)
        elif isinstance(message, CostPosted):
            kind = CostKind.Name(message.kind)
            line = (message.job_id, message.attempt, kind, message.user_id, message.amount.micros)
            self._database.execute("INSERT OR IGNORE INTO costs VALUES (?, ?, ?, ?, ?)", line)

    def report(self) -> str:
        lines = [f"{'user':<32} {'delivered':>9} {'cost':>14}"]
        for user_id, delivered, micros in self._database.execute(REPORT):
            lines.append(f"{user_id:<32} {delivered:>9} {money.text(micros):>14}")
        return "\n".join(lines)

    def close(self) -> None:
        self._database.close()


async def consume(bootstrap: str, figures: Figures, stopping: asyncio.Event) -> None:
    """Read until `stopping`; a broker that is away is tried again."""
    while not stopping.is_set():
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            # Where our offset is no longer in the log (it was retained too short, or re-created).
            auto_offset_reset="earliest",
            request_timeout_ms=REQUEST_MILLISECONDS,
            metadata_max_age_ms=METADATA_MILLISECONDS,
        )
        try:
            await consumer.start()
            await _read(consumer, figures, stopping)
        except KafkaError as error:
            print(f"the broker does not answer ({type(error).__name__}); trying again", file=sys.stderr)
            await _pause(stopping, RETRY_SECONDS)
        finally:
            await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, figures: Figures, stopping: asyncio.Event) -> None:
    if not _partitions(consumer):
        print("nothing to read yet: the topics do not exist", file=sys.stderr, flush=True)
    # With no partition assigned, `getmany` would wait for ever.
    while not _partitions(consumer) and not stopping.is_set():
        await _pause(stopping, POLL_SECONDS)
    while not stopping.is_set():
        await _take_partitions(consumer, figures)
        batches = await consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=BATCH)
        for partition, records in batches.items():
            figures.add(partition, records)
        if batches:
            print(figures.report(), flush=True)


def _partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    """Every partition there is by now; none before all topics exist.

    From its first assignment on, a consumer hears of the assigned topics alone.
    """
    numbers = {topic: consumer.partitions_for_topic(topic) or () for topic in TOPICS}
    if not all(numbers.values()):
        return []
    return sorted(TopicPartition(topic, number) for topic in TOPICS for number in numbers[topic])


async def _take_partitions(consumer: AIOKafkaConsumer, figures: Figures) -> None:
    """Assign what is there and not ours yet, each partition from where we were in it."""
    there = _partitions(consumer)
    if consumer.assignment().issuperset(there):
        return
    consumer.assign(there)
    for partition in there:
        offset = figures.next_offset(partition)
        if offset is None:
            await consumer.seek_to_beginning(partition)
        else:
            consumer.seek(partition, offset)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


async def run(bootstrap: str, state: Path, from_beginning: bool) -> None:
    """Consume until Ctrl-C or SIGTERM, then print the figures once more."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    figures = Figures(state)
    if from_beginning:
        figures.forget()
    try:
        await consume(bootstrap, figures, stopping)
        print(f"stopped; the next start goes on from {state}\n{figures.report()}", flush=True)
    finally:
        figures.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Delivered videos and cost per user, from EDGECORE's events.")
    parser.add_argument("bootstrap", help="the Kafka brokers, host:port[,…]")
    parser.add_argument(
        "--state", type=Path, default=Path("figures.sqlite"), help="where figures and offsets are kept"
    )
    parser.add_argument(
        "--from-beginning", action="store_true", help="forget what was read, and read all there is"
    )
    arguments = parser.parse_args()
    asyncio.run(run(arguments.bootstrap, arguments.state, arguments.from_beginning))


if __name__ == "__main__":
    main()
