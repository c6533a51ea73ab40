"""Every topic file's examples are real messages that survive the way over the wire."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from edgecore.jobs.v1.commands_pb2 import CancelJob
from edgecore_contracts.cloudevents import Event, MalformedEvent, decode
from edgecore_contracts.topics import MESSAGES, POOL_EVENTS, catalogue, topic_of
from edgecore_runtime.clock import FakeClock

ROOT = Path(__file__).resolve().parents[2]
FILES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "topics").glob("*.yaml"))}
EXAMPLES = [
    pytest.param(topic, message, id=message["name"]) for topic in FILES for message in FILES[topic]["messages"]
]


def wire(event: Event) -> Event:
    headers = [(name, value.encode()) for name, value in event.headers().items()]
    return decode(event.key.encode(), event.body(), headers)


@pytest.mark.parametrize(("topic", "message"), EXAMPLES)
def test_an_example_goes_over_the_wire_unchanged(topic: str, message: dict[str, Any]) -> None:
    parsed = json_format.ParseDict(message["example"], MESSAGES[message["type"]]())
    event = Event("evt_1", "edgecore/test", FakeClock().now(), "key", parsed, {"traceparent": "00-1-2-01"})
    assert wire(event) == event
    assert topic_of(parsed).name == topic
    assert json_format.MessageToDict(parsed) == message["example"], "the example says everything it sets"


def test_files_are_named_by_their_topics_and_make_the_catalogue() -> None:
    assert [file["topic"] for file in FILES.values()] == list(FILES)
    assert set(catalogue()) == set(FILES)
    for topic in catalogue().values():
        assert topic.owner in topic.producers
        assert topic.partitions == (8 if topic.name == POOL_EVENTS else 64)
        assert topic.dead_letters == f"{topic.name}.dlq"


def test_every_message_has_one_topic() -> None:
    carried = [name for topic in catalogue().values() for name in topic.types]
    assert sorted(carried) == sorted(MESSAGES)


@given(key=st.binary(), body=st.binary(), headers=st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=9))))
def test_garbage_is_refused_as_malformed_and_as_nothing_else(
    key: bytes, body: bytes, headers: list[tuple[str, bytes]]
) -> None:
    with pytest.raises(MalformedEvent):
        decode(key, body, headers)


def test_a_known_type_with_a_broken_body_is_malformed() -> None:
    event = Event("evt_1", "edgecore/test", FakeClock().now(), "job_1", CancelJob(job_id="job_1"))
    headers = [(name, value.encode()) for name, value in event.headers().items()]
    with pytest.raises(MalformedEvent, match="not a readable event"):
        decode(b"job_1", b"\x0a\xff", headers)
