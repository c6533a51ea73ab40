"""Creating topics as the catalogue describes them. Idempotent: whoever comes first creates them."""

from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from edgecore_contracts.topics import catalogue
from edgecore_runtime import kafka_clients
from edgecore_runtime.kafka_clients import opened

MOST_COPIES = 3
"""Replication factor, where there are that many brokers: one may fail while another is down for an upgrade."""


async def ensure_topics(bootstrap: str, names: list[str]) -> dict[str, int]:
    """Create the named topics and their dead-letter topics where missing; raises KafkaError.

    Returns how many partitions each named topic has: fewer than the catalogue says where the broker made it by
    itself, for a client that asked too early. Order within a key holds with any number.
    """
    async with opened(kafka_clients.admin(bootstrap)) as admin:
        existing = set(await admin.list_topics())
        brokers = (await admin.describe_cluster())["brokers"]
        copies = min(MOST_COPIES, len(brokers))
        wanted = [new for name in names for new in _with_dead_letters(name, copies) if new.name not in existing]
        if wanted:
            response = await admin.create_topics(wanted)
            for _topic, code, *_message in response.topic_errors:
                error = for_code(code)
                if code != 0 and error is not TopicAlreadyExistsError:
                    raise error(str(_message))
        return {found["topic"]: len(found["partitions"]) for found in await admin.describe_topics(names)}


def _with_dead_letters(name: str, copies: int) -> list[NewTopic]:
    topic = catalogue()[name]
    retention = {"retention.ms": str(topic.retention_hours * 3600 * 1000)}
    return [
        NewTopic(name, num_partitions=topic.partitions, replication_factor=copies, topic_configs=retention),
        NewTopic(topic.dead_letters, num_partitions=1, replication_factor=copies),
    ]
