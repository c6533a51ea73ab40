from aiokafka import TopicPartition

from edgecore_contracts.topics import JOB_COMMANDS
from edgecore_runtime import kafka_clients
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.kafka_clients import opened
from edgecore_runtime.kafka_topics import ensure_topics
from edgecore_runtime.log_witness import LogWitness


async def test_a_batch_of_several_records_is_not_a_lost_log(embedded: EmbeddedParts) -> None:
    bootstrap = embedded.kafka_bootstrap
    await ensure_topics(bootstrap, [JOB_COMMANDS])
    partition = TopicPartition(JOB_COMMANDS, 0)
    async with (
        opened(kafka_clients.producer(bootstrap)) as producer,
        opened(kafka_clients.reader(bootstrap)) as reader,
    ):
        sends = [await producer.send(JOB_COMMANDS, b"not an event", partition=0) for _ in range(5)]
        last = [await send for send in sends][-1].offset
        ends = await reader.end_offsets([partition])
    witness = LogWitness(bootstrap)
    assert await witness.lost(ends, {partition: last}) == set()
    assert await witness.lost(ends, {partition: last}) == set()
    assert await witness.lost({partition: 0}, {partition: last + 100}) == {partition}
