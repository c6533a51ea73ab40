"""A job and its transitions: the only place where a job's state changes."""

from dataclasses import dataclass, field

from edgecore_contracts.states import JobState, Reason, check_transition


@dataclass(frozen=True)
class Transition:
    """One row of a job's history. `version` is the job's after the transition."""

    version: int
    source: JobState
    target: JobState
    reason: Reason
    detail: str
    attempt: int
    node_id: str


@dataclass
class Job:
    """What the scheduler knows of a job; `changes` are the transitions made since it was loaded."""

    id: str
    user_id: str
    model: str
    backend: str
    spec: bytes
    state: JobState = JobState.INIT
    version: int = 0
    attempt: int = 0
    failures: int = 0
    node_id: str = ""
    cancel_requested: bool = False
    trace_context: dict[str, str] = field(default_factory=dict)
    changes: list[Transition] = field(default_factory=list)

    def move(self, target: JobState, reason: Reason, detail: str = "") -> None:
        """Make one transition; raise IllegalTransition if the table does not have it."""
        check_transition(self.state, target)
        self.version += 1
        self.changes.append(
            Transition(self.version, self.state, target, reason, detail, self.attempt, self.node_id)
        )
        self.state = target

    def allocate(self, node_id: str) -> None:
        """Begin the next attempt on a node."""
        self.attempt += 1
        self.node_id = node_id
        self.move(JobState.ALLOCATED, Reason.ASSIGNED, f"attempt {self.attempt} on {node_id}")

    def advance(self, target: JobState) -> None:
        """Go forward to a working state; a state already reached or passed is left as it is."""
        for step, reason in FORWARD:
            if _rank(self.state) < _rank(step) <= _rank(target):
                self.move(step, reason)

    def deliver(self) -> None:
        """End well, through the states whose progress message never came."""
        self.advance(JobState.FINALIZING)
        self.move(JobState.DELIVERED, Reason.COMPLETED, "video uploaded")


FORWARD = ((JobState.GENERATING, Reason.STARTED), (JobState.FINALIZING, Reason.SAMPLED))
_ORDER = (JobState.ALLOCATED, JobState.GENERATING, JobState.FINALIZING)


def _rank(state: JobState) -> int:
    return _ORDER.index(state)
