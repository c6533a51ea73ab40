"""The embedded broker with aiokafka: a consumer group that commits, and what a broker's death means."""

import asyncio
import gc
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import CommitFailedError

from edgecore_runtime.embedded.broker import Broker
from edgecore_runtime.embedded.parts import EmbeddedParts

DEADLINE_S = 30.0


async def make_topic(bootstrap: str, name: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


async def send(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, key=value)
    finally:
        await producer.stop()


async def take(bootstrap: str, topic: str, group: str, count: int) -> set[bytes]:
    """Read as a member of the group, commit, leave."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # This broker holds a join open for half of it, and a member that went away for all of it.
        session_timeout_ms=1_000,
        heartbeat_interval_ms=250,
    )
    await consumer.start()
    try:
        taken: set[bytes] = set()
        async with asyncio.timeout(DEADLINE_S):
            while True:
                while len(taken) < count:
                    taken.add((await consumer.getone()).value)
                with suppress(CommitFailedError):  # a busy machine kept it from its heartbeats: once more
                    await consumer.commit()
                    return taken
                taken.clear()
    finally:
        await consumer.stop()


async def test_a_group_goes_on_where_it_committed(embedded: EmbeddedParts) -> None:
    bootstrap = embedded.kafka_bootstrap
    await make_topic(bootstrap, "embedded-groups", partitions=4)
    first, second = {b"1", b"2", b"3"}, {b"4", b"5"}
    await send(bootstrap, "embedded-groups", sorted(first))
    assert await take(bootstrap, "embedded-groups", "one", 3) == first

    await send(bootstrap, "embedded-groups", sorted(second))
    assert await take(bootstrap, "embedded-groups", "one", 2) == second
    assert await take(bootstrap, "embedded-groups", "another", 5) == first | second


async def test_a_restarted_broker_is_empty_and_on_the_same_port(embedded: EmbeddedParts) -> None:
    bootstrap = embedded.kafka_bootstrap
    await make_topic(bootstrap, "embedded-loss", partitions=1)
    await send(bootstrap, "embedded-loss", [b"lost"])

    embedded.kill_broker()
    embedded.restart_broker()
    assert embedded.kafka_bootstrap == bootstrap

    await make_topic(bootstrap, "embedded-loss", partitions=1)
    await send(bootstrap, "embedded-loss", [b"new"])
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition("embedded-loss", 0)])
        async with asyncio.timeout(DEADLINE_S):
            assert (await consumer.getone()).value == b"new"
    finally:
        await consumer.stop()


async def test_a_wait_for_it_that_is_cut_short_leaves_no_connection(embedded: EmbeddedParts) -> None:
    """A stack that is stopped while it starts; a connection left open would fail this run's end."""
    broker = Broker(int(embedded.kafka_bootstrap.rpartition(":")[2]))
    for turns in range(40):
        waiting = asyncio.create_task(broker.wait_ready(DEADLINE_S))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    gc.collect()
