"""Events as changes of what the gateway knows.

Applied in any order and any number of times they lead to the same end: a state changes only to a higher
version, a version's history row is written once, and the two halves of an attempt touch different columns.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from edgecore.common.v1 import common_pb2
from edgecore.jobs.v1 import events_pb2
from edgecore_contracts.states import JobState


class Unreadable(ValueError):
    """An event that says something impossible; it stays so however often it is tried."""


@dataclass(frozen=True)
class StateChange:
    """A row of the history; when its version is the newest it is also what the job is now."""

    job_id: str
    version: int
    from_state: JobState
    to_state: JobState
    reason: str
    detail: str
    attempt: int
    node: str
    artifact: dict[str, Any] | None
    other_artifacts: list[dict[str, Any]] | None
    occurred_at: datetime

    @property
    def starts_attempt(self) -> bool:
        return self.to_state is JobState.ALLOCATED and self.attempt > 0


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended and what it used; measurements are None when nobody measured."""

    job_id: str
    attempt: int
    node: str
    outcome: str
    reason: str
    measurements: dict[str, Any] | None
    occurred_at: datetime


def state_change(message: events_pb2.JobStateChanged, sent_at: datetime) -> StateChange:
    """Read the message; `sent_at` stands in for a missing time. Raises Unreadable."""
    try:
        from_state, to_state = JobState.from_proto(getattr(message, "from")), JobState.from_proto(message.to)
    except ValueError as error:
        raise Unreadable(f"unknown state in a change of {message.job_id!r}: {error}") from error
    if message.version < 1:
        raise Unreadable(f"a change of {message.job_id!r} without a version")
    if to_state is JobState.DELIVERED and not message.HasField("artifact"):
        raise Unreadable(f"{message.job_id!r} delivered without an artifact")
    return StateChange(
        job_id=message.job_id,
        version=message.version,
        from_state=from_state,
        to_state=to_state,
        reason=_reason(message.reason),
        detail=_text(message.detail),
        attempt=message.attempt,
        node=_text(message.node_id),
        artifact=_artifact(message.artifact) if to_state is JobState.DELIVERED else None,
        other_artifacts=[_artifact(one) for one in message.other_artifacts]
        if to_state is JobState.DELIVERED
        else None,
        occurred_at=_time(message.occurred_at, sent_at),
    )


def attempt_end(message: events_pb2.AttemptFinished, sent_at: datetime) -> AttemptEnd:
    """Read the message; `sent_at` stands in for a missing time. Raises Unreadable."""
    if message.attempt < 1:
        raise Unreadable(f"the end of an attempt of {message.job_id!r} that has no number")
    measured = message.HasField("measurements")
    return AttemptEnd(
        job_id=message.job_id,
        attempt=message.attempt,
        node=_text(message.node_id),
        outcome=_name(events_pb2.AttemptOutcome, message.outcome, "ATTEMPT_OUTCOME_"),
        reason=_reason(message.reason),
        measurements=_measurements(message.measurements) if measured else None,
        occurred_at=_time(message.occurred_at, sent_at),
    )


_STAGES = ("load_seconds", "generate_seconds", "encode_seconds", "upload_seconds")


def measured_seconds(measurements: dict[str, Any] | None) -> float | None:
    """What an attempt took by its node's own clock, all stages together."""
    if measurements is None:
        return None
    total: float = sum(measurements.get(stage, 0.0) for stage in _STAGES)
    return round(total, 6)


def _reason(value: int) -> str:
    return _name(common_pb2.Reason, value, "REASON_")


def _name(enum: Any, value: int, prefix: str) -> str:
    """A newer scheduler may know names that we do not: that is no cause to lose the event."""
    try:
        return str(enum.Name(value)).removeprefix(prefix)
    except ValueError:
        return f"UNKNOWN_{value}"


def _text(value: str) -> str:
    return value.replace("\0", "")  # PostgreSQL stores every other character


def _time(value: Timestamp, otherwise: datetime) -> datetime:
    return value.ToDatetime(UTC) if value.seconds else otherwise


def _artifact(artifact: common_pb2.Artifact) -> dict[str, Any]:
    return _as_dict(artifact) | {"size_bytes": artifact.size_bytes}


def _measurements(measurements: common_pb2.Measurements) -> dict[str, Any]:
    exact = {"peak_memory_bytes": measurements.peak_memory_bytes, "artifact_bytes": measurements.artifact_bytes}
    return _as_dict(measurements) | exact


def _as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
