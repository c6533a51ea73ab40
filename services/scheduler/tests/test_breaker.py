"""The circuit breaker on a clock that the test moves."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgecore_contracts.states import Reason
from edgecore_runtime.clock import FakeClock
from edgecore_scheduler.domain.breaker import FEWEST, LONGEST, WINDOW, Breaker, BreakerState

GOOD, BAD = Reason.COMPLETED, Reason.PROVIDER_ERROR


class Provider:
    """A breaker and the attempts that went through it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breaker = Breaker(10.0, self.clock.monotonic, jitter=lambda: 1.0)
        self._numbers = itertools.count()

    def attempt(self, *reasons: Reason) -> None:
        for reason in reasons:
            lease = self.send()
            self.breaker.ended(lease, reason)

    def send(self) -> str:
        assert self.breaker.lets_through
        lease = f"lease_{next(self._numbers)}"
        self.breaker.sent(lease)
        return lease

    @property
    def state(self) -> BreakerState:
        return self.breaker.state


def test_half_of_the_last_attempts_open_it() -> None:
    provider = Provider()
    provider.attempt(BAD, GOOD, BAD, GOOD)
    assert provider.state is BreakerState.CLOSED, "too few to judge"
    provider.attempt(BAD)
    assert provider.state is BreakerState.OPEN
    assert not provider.breaker.lets_through
    assert provider.breaker.opens_in == 10.0


def test_three_in_a_row_open_it() -> None:
    provider = Provider()
    provider.attempt(*[GOOD] * 9, BAD, BAD)
    assert provider.state is BreakerState.CLOSED
    provider.attempt(BAD)
    assert provider.state is BreakerState.OPEN


def test_one_job_tries_for_all() -> None:
    provider = Provider()
    provider.attempt(BAD, BAD, BAD)
    provider.clock.advance(10.0)
    assert provider.state is BreakerState.HALF_OPEN
    trial = provider.send()
    assert not provider.breaker.lets_through
    provider.breaker.ended("lease_from_before_the_trip", BAD)
    assert provider.state is BreakerState.HALF_OPEN
    provider.breaker.ended(trial, GOOD)
    assert provider.state is BreakerState.CLOSED
    assert provider.breaker.recent == (0, 0)


def test_a_failed_trial_doubles_the_pause_up_to_a_cap() -> None:
    provider = Provider()
    provider.attempt(BAD, BAD, BAD)
    pauses = []
    for _ in range(8):
        pauses.append(provider.breaker.opens_in)
        provider.clock.advance(pauses[-1] or 0.0)
        provider.attempt(BAD)
    assert pauses == [10.0, 20.0, 40.0, 80.0, *[10.0 * LONGEST] * 4]


def test_what_is_not_its_fault_does_not_count_and_frees_the_trial() -> None:
    provider = Provider()
    provider.attempt(*[Reason.INVALID_SPEC, Reason.CANCELLED_BY_USER, Reason.STORAGE] * 5)
    assert provider.breaker.recent == (0, 0)
    provider.attempt(BAD, BAD, BAD)
    provider.clock.advance(10.0)
    provider.attempt(Reason.CANCELLED_BY_USER)
    assert provider.state is BreakerState.HALF_OPEN
    assert provider.breaker.lets_through


def test_a_repeated_report_counts_once() -> None:
    provider = Provider()
    lease = provider.send()
    for _ in range(5):
        provider.breaker.ended(lease, BAD)
    assert provider.breaker.recent == (1, 1)


@given(st.lists(st.sampled_from([GOOD, BAD, Reason.INVALID_SPEC, "pass time"]), max_size=60))
def test_it_never_locks_itself_up(events: list[Reason | str]) -> None:
    provider = Provider()
    for event in events:
        if isinstance(event, Reason) and provider.breaker.lets_through:
            provider.attempt(event)
        else:
            provider.clock.advance(7.0)
        attempts, failures = provider.breaker.recent
        assert failures <= attempts <= WINDOW
        if provider.state is BreakerState.CLOSED and attempts >= FEWEST:
            assert failures <= attempts / 2 + 1
    provider.clock.advance(10.0 * LONGEST)
    assert provider.breaker.lets_through
    provider.attempt(GOOD)
    assert provider.state is BreakerState.CLOSED
