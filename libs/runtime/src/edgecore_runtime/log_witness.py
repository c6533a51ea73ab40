"""Whether the broker still has what it once had: an in-memory broker that restarted has not, a re-created topic
neither.

A log's end offset alone does not tell. The embedded broker reports the beginning of the last batch plus one, so
after a batch of several records the end lies before records that are there. What the end leaves in doubt is
settled by reading the record.
"""

import asyncio

from aiokafka import TopicPartition

from edgecore_runtime import kafka_clients
from edgecore_runtime.kafka_clients import opened

READ_SECONDS = 5.0
FETCH_MILLISECONDS = 1000


class LogWitness:
    """Remembers how long each log was seen to be, so that only one that became shorter is looked at again."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._ends: dict[TopicPartition, int] = {}

    async def lost(self, ends: dict[TopicPartition, int], known: dict[TopicPartition, int]) -> set[TopicPartition]:
        """The partitions that have no record at (or after) the offset known to have had one; raises KafkaError.

        `ends` are the end offsets that the broker reports now.
        """
        doubtful = {
            partition: offset
            for partition, offset in known.items()
            if ends[partition] <= offset and ends[partition] < self._ends.get(partition, offset + 1)
        }
        # An empty log leaves no doubt, and reading from it would wait in vain.
        missing = {partition for partition in doubtful if ends[partition] == 0}
        if doubtful and not missing:
            missing = await self._missing(doubtful)
        for partition in known:
            if partition in missing:
                self._ends.pop(partition, None)
            else:
                self._ends[partition] = ends[partition]
        return missing

    async def _missing(self, offsets: dict[TopicPartition, int]) -> set[TopicPartition]:
        wanted = set(offsets)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READ_SECONDS
        async with opened(kafka_clients.reader(self._bootstrap)) as reader:
            reader.assign(list(offsets))
            for partition, offset in offsets.items():
                reader.seek(partition, offset)
            while wanted and loop.time() < deadline:
                batches = await reader.getmany(*wanted, timeout_ms=FETCH_MILLISECONDS)
                wanted -= {one for one, found in batches.items() if found and found[-1].offset >= offsets[one]}
        return wanted
