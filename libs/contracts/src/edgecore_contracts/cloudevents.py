"""Events on Kafka: CloudEvents 1.0 in binary mode, a protobuf body, attributes as `ce_` headers.

Source: CloudEvents Kafka protocol binding 1.0.2, section 3.2 (binary content mode).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from edgecore_contracts.topics import MESSAGES

CONTENT_TYPE = "application/protobuf"


class MalformedEvent(ValueError):
    """Bytes on a topic that are not one of its messages; trying again will not help."""


@dataclass(frozen=True)
class Event:
    """One message with its envelope. `id` is unique for ever; a repeated id is the same event again."""

    id: str
    source: str
    time: datetime
    key: str
    message: Message
    trace_context: dict[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return self.message.DESCRIPTOR.full_name

    def headers(self) -> dict[str, str]:
        return self.trace_context | {
            "ce_specversion": "1.0",
            "ce_id": self.id,
            "ce_type": self.type,
            "ce_source": self.source,
            "ce_time": self.time.isoformat(),
            "content-type": CONTENT_TYPE,
        }

    def body(self) -> bytes:
        return self.message.SerializeToString()


def decode(key: bytes | None, body: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Event:
    """Read an event from a Kafka record; raise MalformedEvent saying what is wrong with it."""
    try:
        attributes = {name: value.decode() for name, value in headers}
        message_class = MESSAGES[attributes["ce_type"]]
        return Event(
            id=attributes["ce_id"],
            source=attributes["ce_source"],
            time=datetime.fromisoformat(attributes["ce_time"]),
            key=(key or b"").decode(),
            message=message_class.FromString(body or b""),
            trace_context={k: v for k, v in attributes.items() if k in ("traceparent", "tracestate")},
        )
    except KeyError as error:
        raise MalformedEvent(f"missing header or unknown type: {error.args[0]}") from error
    except (DecodeError, UnicodeDecodeError, ValueError) as error:
        raise MalformedEvent(f"not a readable event: {error}") from error


def timestamp(time: datetime) -> Timestamp:
    """A time as protobuf has it."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
