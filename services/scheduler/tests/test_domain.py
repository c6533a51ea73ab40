"""The job table, retries and estimates, without I/O."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgecore_contracts.states import LEASED, IllegalTransition, JobState, Reason
from edgecore_scheduler.domain.decisions import Code, Look, Verdict
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.nodes import Connection, Nodes
from edgecore_scheduler.domain.progress import eta_seconds
from edgecore_scheduler.domain.retry import RetryPolicy

LIMIT = 3
CHOSEN = Look("aiprod", Verdict.CHOSEN, Code.FIRST_CHOICE, "it has room", "node")
FAILURES = [Reason.OUT_OF_MEMORY, Reason.TIMEOUT, Reason.NODE_LOST, Reason.NODE_DRAINED, Reason.INVALID_SPEC]


def new_job() -> Job:
    return Job(id="job_1", user_id="u", model="aiprod-nano", backend="aiprod", spec=b"")


class JobLife(RuleBasedStateMachine):
    """Whatever happens in whatever order: versions have no gaps, and a terminal state is the last."""

    def __init__(self) -> None:
        super().__init__()
        self.job = new_job()
        self.job.move(JobState.QUEUED, Reason.ACCEPTED)
        self.policy = RetryPolicy(LIMIT, 0.1)

    @precondition(lambda self: self.job.state is JobState.QUEUED)
    @rule()
    def allocate(self) -> None:
        self.job.allocate(CHOSEN)

    @precondition(lambda self: self.job.state in LEASED)
    @rule(state=st.sampled_from([JobState.GENERATING, JobState.FINALIZING]))
    def advance(self, state: JobState) -> None:
        self.job.advance(state)

    @precondition(lambda self: self.job.state in LEASED)
    @rule()
    def deliver(self) -> None:
        self.job.deliver()

    @precondition(lambda self: self.job.state in LEASED)
    @rule(reason=st.sampled_from(FAILURES))
    def fail(self, reason: Reason) -> None:
        assert self.policy.fail(self.job, reason, "") >= 0

    @rule()
    def ask_to_cancel(self) -> None:
        self.job.cancel_requested = True

    @invariant()
    def history_is_whole(self) -> None:
        changes = self.job.changes
        assert [change.version for change in changes] == list(range(1, len(changes) + 1))
        for before, after in itertools.pairwise(changes):
            assert before.target is after.source
        assert not any(change.source.terminal for change in changes)
        assert self.job.failures <= LIMIT


TestJobLife = JobLife.TestCase


def test_a_terminal_job_moves_no_more() -> None:
    job = new_job()
    job.move(JobState.CANCELLED, Reason.CANCELLED_BY_USER)
    with pytest.raises(IllegalTransition, match="terminal"):
        job.move(JobState.QUEUED, Reason.ACCEPTED)


@given(failures=st.integers(1, 40))
def test_pauses_grow_and_are_bounded(failures: int) -> None:
    job = new_job()
    job.move(JobState.QUEUED, Reason.ACCEPTED)
    job.allocate(CHOSEN)
    job.failures = failures - 1
    pause = RetryPolicy(100, 0.5).fail(job, Reason.OUT_OF_MEMORY, "")
    longest = min(60.0, 0.5 * 2 ** (failures - 1))
    assert longest / 2 <= pause <= longest


def test_the_emptiest_node_comes_first_and_a_newer_stream_replaces_an_older() -> None:
    nodes = Nodes()
    busy, free = (Connection(name, "p", "b", "cpu", frozenset({"m"}), 2) for name in ("busy", "free"))
    busy.running.add("lease")
    nodes.add(busy)
    nodes.add(free)
    assert [one.node_id for one in nodes.with_room()] == ["free", "busy"]
    newer = Connection("busy", "p", "b", "cpu", frozenset({"m"}), 2)
    nodes.add(newer)
    assert busy.outbound.get_nowait() is None
    nodes.remove(busy)
    assert nodes.get("busy") is newer


def test_a_node_that_does_not_read_is_noticed() -> None:
    connection = Connection("n", "p", "b", "cpu", frozenset({"m"}), 1)
    while connection.send("message"):
        pass
    connection.close()
    assert connection.outbound.get_nowait() is None


def test_estimates() -> None:
    assert eta_seconds(None, 1, 1, 0.0) is None
    assert eta_seconds(10.0, 0, 1, 0.25) == 7.5
    assert eta_seconds(10.0, 3, 2, 0.0) == 30.0
    assert eta_seconds(10.0, 3, 0, 0.0) is None
