"""A job and its transitions: the only place where a job's state changes."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from edgecore_contracts.states import JobState, Reason, check_transition
from edgecore_scheduler.domain.decisions import Decision, Look
from edgecore_scheduler.domain.terms import Terms


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
    backend: str


@dataclass
class Job:
    """What the scheduler knows of a job.

    `backend` is the step of the fallback chain it waits at or runs on. `held` jobs wait for their reservation,
    `bound` ones for the node that may have placed an order for them. `changes` and `decisions` are what was made
    since it was loaded; `looks` has the last code by backend, of the attempt to come; `backend_failures` counts
    what each backend is to blame for; `waited` is its seconds in the queue when it was loaded.
    """

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
    terms: Terms = field(default_factory=Terms)
    held: bool = False
    bound: str = ""
    backend_failures: dict[str, int] = field(default_factory=dict)
    looks: dict[str, str] = field(default_factory=dict)
    decided: int = 0
    waited: float = 0.0
    changes: list[Transition] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def move(self, target: JobState, reason: Reason, detail: str = "") -> None:
        """Make one transition; raise IllegalTransition if the table does not have it."""
        check_transition(self.state, target)
        self.version += 1
        self.changes.append(
            Transition(self.version, self.state, target, reason, detail, self.attempt, self.node_id, self.backend)
        )
        self.state = target

    def note(self, looks: Iterable[Look]) -> None:
        """Write down what is new among these looks at backends for the attempt to come."""
        for look in looks:
            if self.is_news(look):
                self.decided += 1
                self.decisions.append(Decision(self.decided, self.attempt + 1, look))
                self.looks[look.backend] = look.code

    def is_news(self, look: Look) -> bool:
        return self.looks.get(look.backend) != look.code

    def allocate(self, look: Look) -> None:
        """Begin the next attempt on the node that was chosen."""
        self.note((look,))
        self.looks, self.bound = {}, ""
        self.attempt += 1
        self.node_id = look.node_id
        self.move(JobState.ALLOCATED, Reason.ASSIGNED, f"attempt {self.attempt} on {look.node_id}")

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
