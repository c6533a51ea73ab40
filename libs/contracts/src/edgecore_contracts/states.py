"""The job's state machine as data: eight states, the transitions between them, and why each happens.

The scheduler alone decides transitions; others hold projections and ignore versions that are not newer.
The diagram in docs/ is generated from TRANSITIONS, and a test keeps the two equal.
"""

from enum import StrEnum

from edgecore.common.v1 import common_pb2

INITIAL_VERSION = 0
"""Version of a job that the gateway accepted and no scheduler has seen yet."""


class JobState(StrEnum):
    """Where a job is in its life."""

    INIT = "INIT"
    QUEUED = "QUEUED"
    ALLOCATED = "ALLOCATED"
    GENERATING = "GENERATING"
    FINALIZING = "FINALIZING"
    DELIVERED = "DELIVERED"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"

    def to_proto(self) -> common_pb2.JobState.ValueType:
        return common_pb2.JobState.Value(f"JOB_STATE_{self.name}")

    @classmethod
    def from_proto(cls, value: common_pb2.JobState.ValueType) -> "JobState":
        """Raise ValueError for the unspecified or an unknown state."""
        return cls(common_pb2.JobState.Name(value).removeprefix("JOB_STATE_"))

    @property
    def terminal(self) -> bool:
        return not TRANSITIONS[self]


class Reason(StrEnum):
    """Why a transition happened, or an attempt ended as it did; words are in common.proto."""

    ACCEPTED = "ACCEPTED"
    ASSIGNED = "ASSIGNED"
    STARTED = "STARTED"
    SAMPLED = "SAMPLED"
    COMPLETED = "COMPLETED"
    CANCELLED_BY_USER = "CANCELLED_BY_USER"
    INVALID_SPEC = "INVALID_SPEC"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    TIMEOUT = "TIMEOUT"
    NODE_LOST = "NODE_LOST"
    QUALITY = "QUALITY"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    BREAKER_OPEN = "BREAKER_OPEN"
    ENGINE_FAILED = "ENGINE_FAILED"
    STORAGE = "STORAGE"
    NODE_DRAINED = "NODE_DRAINED"
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    PROVIDER_UNCLEAR = "PROVIDER_UNCLEAR"

    def to_proto(self) -> common_pb2.Reason.ValueType:
        return common_pb2.Reason.Value(f"REASON_{self.name}")

    @classmethod
    def from_proto(cls, value: common_pb2.Reason.ValueType) -> "Reason":
        """Raise ValueError for the unspecified or an unknown reason."""
        return cls(common_pb2.Reason.Name(value).removeprefix("REASON_"))


_RUNNING_EXITS = frozenset({JobState.QUEUED, JobState.ERROR, JobState.CANCELLED})

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.INIT: frozenset({JobState.QUEUED, JobState.ERROR, JobState.CANCELLED}),
    JobState.QUEUED: frozenset({JobState.ALLOCATED, JobState.ERROR, JobState.CANCELLED}),
    JobState.ALLOCATED: frozenset({JobState.GENERATING}) | _RUNNING_EXITS,
    JobState.GENERATING: frozenset({JobState.FINALIZING}) | _RUNNING_EXITS,
    JobState.FINALIZING: frozenset({JobState.DELIVERED}) | _RUNNING_EXITS,
    JobState.DELIVERED: frozenset(),
    JobState.ERROR: frozenset(),
    JobState.CANCELLED: frozenset(),
}

LEASED = frozenset({JobState.ALLOCATED, JobState.GENERATING, JobState.FINALIZING})
"""States in which exactly one lease is valid."""

PERMANENT = frozenset(
    {Reason.INVALID_SPEC, Reason.CANCELLED_BY_USER, Reason.BUDGET_EXHAUSTED, Reason.PROVIDER_UNCLEAR}
)
"""Reasons after which another attempt would end the same way, or could be billed twice."""


class IllegalTransition(ValueError):
    """A transition that the table does not have."""


def check_transition(current: JobState, target: JobState) -> None:
    """Raise IllegalTransition unless the table allows `current` → `target`."""
    if target not in TRANSITIONS[current]:
        allowed = ", ".join(sorted(TRANSITIONS[current])) or "nothing, it is terminal"
        raise IllegalTransition(f"{current} cannot become {target}; allowed: {allowed}")


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> INIT"]
    for state in JobState:
        lines += [f"    {state} --> {target}" for target in JobState if target in TRANSITIONS[state]]
    lines += [f"    {state} --> [*]" for state in JobState if state.terminal]
    return "\n".join(lines) + "\n"
