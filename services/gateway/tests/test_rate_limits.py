"""Counting against limits: in one process, across two through a real Redis, and while it is away."""

from pathlib import Path

import pytest

from edgecore_gateway.adapters.rate_limits import RateLimits
from edgecore_gateway.domain.window import Limit, window_at
from edgecore_runtime.clock import FakeClock
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.embedded.process import Child
from edgecore_runtime.embedded.redis import Redis
from edgecore_runtime.testing import eventually

THREE = Limit("test", 3, 60)


def is_used_up(rates: RateLimits, limit: Limit, subject: str) -> bool:
    """Asked as often as one likes: what is admitted is given back."""
    if rates.take(limit, subject).admitted:
        rates.give_back(limit, subject)
        return False
    return True


def admitted(rates: RateLimits, limit: Limit = THREE, subject: str = "user_1", uses: int = 10) -> int:
    return sum(rates.take(limit, subject).admitted for _ in range(uses))


@pytest.mark.parametrize("subject", ["", "user_1", "user_2"])
def test_windows_follow_one_another(subject: str) -> None:
    number, left = window_at(subject, 60, 1_000_000.5)
    assert 1 <= left <= 60
    assert window_at(subject, 60, 1_000_000.5 + left)[0] == number + 1
    assert window_at(subject, 60, 1_000_000.5 + left - 1)[0] == number


def test_a_limit_admits_so_many_for_each_subject_and_window() -> None:
    clock = FakeClock()
    rates = RateLimits("", clock)
    readings = [rates.take(THREE, "user_1") for _ in range(4)]
    assert [one.remaining for one in readings] == [2, 1, 0, 0]
    assert [one.admitted for one in readings] == [True, True, True, False]
    assert readings[3].headers()["RateLimit-Policy"] == '"test";q=3;w=60'
    assert admitted(rates, subject="user_2") == 3
    assert admitted(rates, Limit("other", 2, 60)) == 2
    clock.advance(readings[3].reset_seconds)
    assert admitted(rates) == 3


def test_what_is_given_back_can_be_taken_again() -> None:
    rates = RateLimits("", FakeClock())
    rates.give_back(THREE, "user_1")
    assert admitted(rates) == 3
    rates.give_back(THREE, "user_1")
    assert admitted(rates) == 1


@pytest.mark.asyncio(loop_scope="session")
async def test_replicas_share_their_counts(parts: EmbeddedParts) -> None:
    one, other = RateLimits(parts.redis_url, FakeClock()), RateLimits(parts.redis_url, FakeClock())
    subject = "shared"
    await one.start()
    await other.start()
    try:
        assert admitted(one, subject=subject, uses=2) == 2
        assert one.take(THREE, subject).admitted
        assert other.take(THREE, subject).admitted  # it has not heard of the others' uses yet
        await eventually(lambda: is_used_up(other, Limit("test", 4, 60), subject))
        assert not one.take(THREE, subject).admitted
    finally:
        await one.stop()
        await other.stop()


@pytest.mark.asyncio(loop_scope="session")
async def test_without_redis_the_same_limit_goes_on_here_and_is_shared_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    clock, redis = FakeClock(), Redis(free_ports(1)[0])
    rates = RateLimits(redis.url, clock)
    await rates.start()
    try:
        assert (rates.shared, admitted(rates)) == (False, 3)
        child = Child(redis, tmp_path / "redis.log")
        await child.ready(20)
        await eventually(lambda: rates.shared)
        assert admitted(rates) == 0  # what was counted alone still counts
        child.kill()
        await child.exited()
        await eventually(lambda: not rates.shared)
        assert (admitted(rates), admitted(rates, subject="user_2")) == (0, 3)
        child = Child(redis, tmp_path / "redis.log")
        await child.ready(20)
        try:
            await eventually(lambda: rates.shared)
            # Another replica hears of what was counted while Redis was away.
            other = RateLimits(redis.url, clock)
            await other.start()
            try:
                await eventually(lambda: is_used_up(other, THREE, "user_2"))
            finally:
                await other.stop()
        finally:
            child.kill()
            await child.exited()
    finally:
        await rates.stop()
