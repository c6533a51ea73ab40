"""The book of leases, with a clock that the test moves."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgecore_inference.domain.lease import RESEND_SECONDS, UNANSWERED_MAX, Lease, LeaseBook, TooManyLeases
from edgecore_runtime.clock import FakeClock

ONE, TWO = Lease("one", 1), Lease("two", 1)


@pytest.fixture
def book() -> LeaseBook[str]:
    book: LeaseBook[str] = LeaseBook(capacity=1)
    book.ttl = 10.0
    return book


def test_capacity_counts_what_runs(book: LeaseBook[str]) -> None:
    book.take(ONE, 0.0)
    with pytest.raises(TooManyLeases, match="1 at a time, and 1 running"):
        book.take(TWO, 0.0)
    book.finish(ONE, "done")
    book.take(TWO, 0.0)
    assert book.held() == [ONE, TWO]
    assert book.running() == [TWO]
    assert book.unanswered() == [ONE]


def test_the_ttl_counts_from_the_last_message_sent(book: LeaseBook[str]) -> None:
    book.take(ONE, 0.0)
    assert book.next_expiry() == 10.0
    book.renew([ONE, TWO], sent_at=4.0)
    assert book.next_expiry() == 14.0
    assert book.expired(13.9) == []
    assert book.expired(14.0) == [ONE]
    book.renew([ONE], sent_at=3.0)
    assert book.next_expiry() == 14.0


def test_a_finished_lease_does_not_expire(book: LeaseBook[str]) -> None:
    book.take(ONE, 0.0)
    book.finish(ONE, "done")
    assert book.expired(1000.0) == []
    assert book.next_expiry() is None


def test_a_report_is_due_once_a_stream_and_again_after_a_while(book: LeaseBook[str]) -> None:
    book.take(ONE, 0.0)
    assert book.reports_due(0.0) == []
    book.finish(ONE, "done")
    assert book.reports_due(1.0) == [(ONE, "done")]
    book.reported(ONE, 1.0)
    assert book.reports_due(1.0 + RESEND_SECONDS - 0.1) == []
    assert book.reports_due(1.0 + RESEND_SECONDS) == [(ONE, "done")]
    book.new_stream()
    assert book.reports_due(1.1) == [(ONE, "done")]
    assert book.forget(ONE) == "done"
    assert book.reports_due(1.1) == []


def test_what_was_forgotten_stays_forgotten(book: LeaseBook[str]) -> None:
    book.take(ONE, 0.0)
    assert book.forget(ONE) is None
    book.finish(ONE, "too late")
    assert book.held() == []
    assert book.forget(ONE) is None


def test_refusals_are_bounded(book: LeaseBook[str]) -> None:
    for number in range(UNANSWERED_MAX):
        book.refuse(Lease("refused", number), "no", 0.0)
    with pytest.raises(TooManyLeases, match="64 reports wait for an answer"):
        book.refuse(ONE, "no", 0.0)


class AnyOrder(RuleBasedStateMachine):
    """Whatever the scheduler says and whenever, nothing runs that another node may run too."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.book: LeaseBook[str] = LeaseBook(capacity=1)
        self.book.ttl = 3.0
        self.granted_until: dict[Lease, float] = {}
        self.next_token = 0

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    @rule()
    def assign(self) -> None:
        self.next_token += 1
        lease = Lease("job", self.next_token)
        try:
            self.book.take(lease, self.now)
        except TooManyLeases:
            self.book.refuse(lease, "no", self.now)
        self.granted_until[lease] = self.now + 3.0

    @rule(delay=st.floats(0.0, 2.0))
    def heartbeat_arrives_late(self, delay: float) -> None:
        sent_at, leases = self.now, self.book.held()
        self.book.renew(leases, sent_at)
        for lease in leases:
            self.granted_until[lease] = max(self.granted_until[lease], sent_at + delay + 3.0)

    @rule(seconds=st.floats(0.0, 5.0))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for lease in self.book.expired(self.now):
            self.book.forget(lease)

    @precondition(lambda self: self.book.running())
    @rule()
    def finish(self) -> None:
        self.book.finish(self.book.running()[0], "done")

    @precondition(lambda self: self.book.unanswered())
    @rule()
    def answer(self) -> None:
        self.book.forget(self.book.unanswered()[0])

    @invariant()
    def runs_only_under_a_valid_lease(self) -> None:
        assert all(self.now < self.granted_until[lease] for lease in self.book.running())

    @invariant()
    def runs_no_more_than_it_can(self) -> None:
        assert len(self.book.running()) <= self.book.capacity


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30)
