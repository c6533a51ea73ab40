"""The topic catalogue: which topics there are, who owns them, and which messages may stand on them.

Read from catalogue.json, which `make proto` generates from topics/*.yaml.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from google.protobuf.message import Message

from edgecore.cost.v1 import events_pb2 as cost_events_pb2
from edgecore.jobs.v1 import commands_pb2, events_pb2
from edgecore.scheduler.v1 import events_pb2 as pool_events_pb2

DLQ_SUFFIX = ".dlq"

JOB_COMMANDS = "edgecore.job-commands.v1"
JOB_EVENTS = "edgecore.job-events.v1"
COST_EVENTS = "edgecore.cost-events.v1"
POOL_EVENTS = "edgecore.pool-events.v1"

MESSAGES: dict[str, type[Message]] = {
    message.DESCRIPTOR.full_name: message
    for message in (
        commands_pb2.GenerateVideo,
        commands_pb2.CancelJob,
        events_pb2.JobStateChanged,
        events_pb2.AttemptFinished,
        cost_events_pb2.CostPosted,
        cost_events_pb2.ReservationDecided,
        cost_events_pb2.BudgetExhausted,
        pool_events_pb2.PoolSnapshot,
        pool_events_pb2.NodeStateChanged,
    )
}
"""Message classes by CloudEvents type, which is the protobuf full name."""


@dataclass(frozen=True)
class Topic:
    """One topic, as its file in topics/ says."""

    name: str
    owner: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: int
    retention_hours: int
    types: frozenset[str]

    @property
    def dead_letters(self) -> str:
        return self.name + DLQ_SUFFIX


@cache
def catalogue() -> dict[str, Topic]:
    """All topics by name."""
    text = resources.files(__package__).joinpath("catalogue.json").read_text()
    return {entry["topic"]: _topic(entry) for entry in json.loads(text)}


def topic_of(message: Message) -> Topic:
    """The one topic that carries this message; LookupError if none does."""
    for topic in catalogue().values():
        if message.DESCRIPTOR.full_name in topic.types:
            return topic
    raise LookupError(f"no topic carries {message.DESCRIPTOR.full_name}")


def _topic(entry: dict[str, object]) -> Topic:
    messages: list[dict[str, str]] = entry["messages"]  # type: ignore[assignment]
    return Topic(
        name=str(entry["topic"]),
        owner=str(entry["owner"]),
        producers=tuple(entry["producers"]),  # type: ignore[arg-type]
        consumers=tuple(entry["consumers"]),  # type: ignore[arg-type]
        partitions=int(entry["partitions"]),  # type: ignore[call-overload]
        retention_hours=int(entry["retention_hours"]),  # type: ignore[call-overload]
        types=frozenset(message["type"] for message in messages),
    )
