"""One job's facts, and the figures that follow from them.

Events come in any order and more than once. Each sets what it knows under its own key (the job, the attempt, the
ledger line) and a state yields only to a newer version. So the same events end in the same facts in whatever
order they come, and every figure is computed from the facts alone.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from edgecore.common.v1.common_pb2 import Artifact
from edgecore.cost.v1.events_pb2 import CostKind, CostPosted
from edgecore.jobs.v1.commands_pb2 import GenerateVideo
from edgecore.jobs.v1.events_pb2 import AttemptFinished, AttemptOutcome, JobStateChanged
from edgecore_contracts.states import INITIAL_VERSION, LEASED, JobState, Reason


@dataclass
class Attempt:
    """`outcome` and `reason` are None until it ended; `seconds` is what the node measured, 0 if nobody did."""

    backend: str = ""
    outcome: str | None = None
    reason: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class CostLine:
    """A ledger line; `quantity` is in its price's unit."""

    micros: int
    quantity: float
    price_id: str
    occurred_at: datetime


@dataclass
class Job:
    """All facts known of one job. `costs` has (attempt, kind) as key, kind as in `COMPUTE`."""

    id: str
    user_id: str = ""
    model: str = ""
    accepted_at: datetime | None = None
    asked_seconds: float = 0.0
    """Length of the video that was asked for."""
    made_seconds: float | None = None
    """Length of the video that was delivered, where its event says."""
    state: JobState = JobState.INIT
    version: int = INITIAL_VERSION
    finished_at: datetime | None = None
    attempts: dict[int, Attempt] = field(default_factory=dict)
    costs: dict[tuple[int, str], CostLine] = field(default_factory=dict)

    def accept(self, command: GenerateVideo) -> None:
        """Raises ValueError for a command without its time."""
        self.user_id = command.user_id or self.user_id
        self.model = command.spec.model
        self.accepted_at = moment(command.accepted_at)
        self.asked_seconds = length(command.spec.frames, command.spec.fps)

    def change(self, event: JobStateChanged) -> None:
        """Raises ValueError for a state that this version does not know."""
        state = JobState.from_proto(event.to)
        self.user_id = event.user_id or self.user_id
        if state in LEASED or state is JobState.DELIVERED:
            self._attempt(event.attempt, event.backend)
        if event.version <= self.version:
            return
        self.version, self.state = event.version, state
        self.finished_at = moment(event.occurred_at) if state.terminal else None
        self.made_seconds = _made(event.artifact) if state is JobState.DELIVERED else None

    def end_attempt(self, event: AttemptFinished) -> None:
        """Raises ValueError for an outcome or reason that this version does not know."""
        self.user_id = event.user_id or self.user_id
        attempt = self._attempt(event.attempt, event.backend)
        attempt.outcome = AttemptOutcome.Name(event.outcome).removeprefix("ATTEMPT_OUTCOME_")
        attempt.reason = Reason.from_proto(event.reason)
        used = event.measurements
        stages = (used.load_seconds, used.generate_seconds, used.encode_seconds, used.upload_seconds)
        attempt.seconds = math.fsum(seconds for seconds in stages if math.isfinite(seconds) and seconds > 0)

    def post(self, event: CostPosted) -> None:
        """Raises ValueError for a kind that this version does not know."""
        self.user_id = event.user_id or self.user_id
        kind = CostKind.Name(event.kind).removeprefix("COST_KIND_")
        line = CostLine(event.amount.micros, event.quantity, event.price_id, moment(event.occurred_at))
        self.costs.setdefault((event.attempt, kind), line)

    @property
    def complete(self) -> bool:
        """Whether it is known both what was accepted and how it ended."""
        return self.accepted_at is not None and self.state.terminal

    @property
    def latency_seconds(self) -> float | None:
        """From acceptance to delivery; None unless it was delivered. Two clocks, so never below 0."""
        if self.state is not JobState.DELIVERED or self.accepted_at is None or self.finished_at is None:
            return None
        return max((self.finished_at - self.accepted_at).total_seconds(), 0.0)

    @property
    def video_seconds(self) -> float:
        if self.state is not JobState.DELIVERED:
            return 0.0
        return self.asked_seconds if self.made_seconds is None else self.made_seconds

    @property
    def compute_seconds(self) -> float:
        return math.fsum(attempt.seconds for attempt in self.attempts.values())

    @property
    def cost_micros(self) -> int:
        return sum(line.micros for line in self.costs.values())

    @property
    def backends(self) -> list[str]:
        """Each backend that was tried, once, in order of its first attempt."""
        tried = (self.attempts[number].backend for number in sorted(self.attempts))
        return list(dict.fromkeys(backend for backend in tried if backend))

    @property
    def fallback(self) -> bool:
        return len(self.backends) > 1

    @property
    def last_backend(self) -> str:
        """The backend of the newest attempt; empty when there was none."""
        return self.attempts[max(self.attempts)].backend if self.attempts else ""

    def _attempt(self, number: int, backend: str) -> Attempt:
        attempt = self.attempts.setdefault(number, Attempt())
        attempt.backend = backend or attempt.backend
        return attempt


def moment(stamp: Timestamp) -> datetime:
    """The time in UTC. Raises ValueError when it is missing or out of range."""
    if stamp == Timestamp():
        raise ValueError("a time is missing")
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(f"not a time: {stamp.seconds} s") from error


def length(frames: int, fps: float) -> float:
    """Seconds of video; 0 when the numbers make no video."""
    return frames / fps if math.isfinite(fps) and fps > 0 else 0.0


def _made(artifact: Artifact) -> float | None:
    return length(artifact.frames, artifact.fps) if artifact.frames and artifact.fps else None
