"""Dead letters: events that could not be handled, kept as they came, with the reason in their headers."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition

from edgecore_contracts.topics import DLQ_SUFFIX
from edgecore_runtime import kafka_clients
from edgecore_runtime.kafka_clients import opened

READ_MILLISECONDS = 2000
READ_MOST = 10_000
PREFIX = "dlq_"


@dataclass(frozen=True)
class DeadLetter:
    """One parked event. `topic` is where it came from; `time` is the record's, in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    event_id: str
    event_type: str
    reason: str
    consumer: str
    attempts: int
    time: int
    key: bytes | None
    body: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def headers_for(
    original: Iterable[tuple[str, bytes]], topic: str, reason: str, consumer: str, attempts: int
) -> list[tuple[str, bytes]]:
    """The original headers, and beside them why and where handling ended."""
    kept = [(name, value) for name, value in original if not name.startswith(PREFIX)]
    added = {"topic": topic, "reason": reason[:1000], "consumer": consumer, "attempts": str(attempts)}
    return kept + [(PREFIX + name, value.encode("utf-8", "replace")) for name, value in added.items()]


async def read(bootstrap: str, topic: str) -> list[DeadLetter]:
    """Every dead letter of `topic`, oldest first, at most READ_MOST; raises KafkaError."""
    async with opened(kafka_clients.reader(bootstrap)) as reader:
        name = topic + DLQ_SUFFIX
        partitions = [TopicPartition(name, number) for number in reader.partitions_for_topic(name) or [0]]
        reader.assign(partitions)
        ends = await reader.end_offsets(partitions)
        await reader.seek_to_beginning(*partitions)
        letters: list[DeadLetter] = []
        while len(letters) < READ_MOST and any([await reader.position(p) < ends[p] for p in partitions]):
            batches = await reader.getmany(timeout_ms=READ_MILLISECONDS)
            if not batches:
                break
            letters += [_letter(topic, record) for records in batches.values() for record in records]
    return letters


async def replay(bootstrap: str, topic: str, event_id: str | None = None) -> int:
    """Send dead letters (or the one named) to their topic again; returns how many.

    They stay listed in the dead-letter topic, which is a log; a consumer that had handled one ignores it.
    """
    letters = [one for one in await read(bootstrap, topic) if event_id in (None, one.event_id)]
    async with opened(kafka_clients.producer(bootstrap)) as producer:
        for letter in letters:
            headers = [(name, value) for name, value in letter.headers if not name.startswith(PREFIX)]
            await producer.send_and_wait(letter.topic, key=letter.key, value=letter.body, headers=headers)
    return len(letters)


def _letter(topic: str, record: object) -> DeadLetter:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}  # type: ignore[attr-defined]
    return DeadLetter(
        topic=headers.get("dlq_topic", topic),
        partition=record.partition,  # type: ignore[attr-defined]
        offset=record.offset,  # type: ignore[attr-defined]
        event_id=headers.get("ce_id", ""),
        event_type=headers.get("ce_type", ""),
        reason=headers.get("dlq_reason", ""),
        consumer=headers.get("dlq_consumer", ""),
        attempts=int(headers.get("dlq_attempts", "0")),
        time=record.timestamp,  # type: ignore[attr-defined]
        key=record.key,  # type: ignore[attr-defined]
        body=record.value,  # type: ignore[attr-defined]
        headers=tuple(record.headers),  # type: ignore[attr-defined]
    )
