"""How many nodes, and why: the rules, and what holds for any load."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore_autoscaler.domain.decision import Decision, decide
from edgecore_autoscaler.domain.forecast import Forecast
from edgecore_autoscaler.domain.memory import Memory
from edgecore_autoscaler.domain.pool import ForecastMode, Load, PoolSpec
from edgecore_autoscaler.domain.reactive import wanted
from edgecore_autoscaler.domain.validation import revalidate

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
SPEC = PoolSpec(
    name="local",
    model="aiprod-nano",
    backend="aiprod",
    device="cpu",
    min_replicas=1,
    max_replicas=8,
    target_utilisation=0.8,
    cold_start=10.0,
    price_per_hour=0,
    scale_in_window=300.0,
    forecast_mode=ForecastMode.ACT,
    horizon=15.0,
    quantile=0.9,
)
LIKE = Forecast(nodes=1, demand=0.5, margin=0.1, like=NOW - timedelta(days=1), weekly=False, error=0.0)


def load(queued: int, seconds: float, running: int = 0, ready: int = 2, at: datetime = NOW) -> Load:
    return Load(queued, seconds, running, ready, 1, seconds / queued if queued else 2.5, at)


class Pool:
    """A pool whose orders are carried out at once, in a time that the test moves."""

    def __init__(self, spec: PoolSpec = SPEC, current: int = 2) -> None:
        self.spec = spec
        self.current = current
        self.now = NOW
        self.memory = Memory(NOW, current)

    def tick(self, seconds: float, work: Load | None, forecast: Forecast | None = None) -> Decision:
        self.now += timedelta(seconds=seconds)
        seen = dataclasses.replace(work, seen_at=self.now, ready=self.current) if work else None
        decision = decide(self.spec, seen, self.current, forecast, self.memory, self.now)
        self.current = decision.desired
        return decision


def test_says_how_many_and_why() -> None:
    decision = decide(SPEC, load(14, 35.0), 2, LIKE, Memory(NOW, 2), NOW)
    assert decision.desired == 3
    assert decision.reason == (
        "3: queue of 14 jobs (35 s of work) over 2 nodes; floor 1 (yesterday's 08:00 needs 1)"
    )


def test_running_jobs_keep_their_nodes() -> None:
    assert wanted(load(0, 0.0, running=3, ready=3), SPEC) == 3


def test_a_short_queue_asks_for_no_second_node() -> None:
    assert wanted(load(1, 2.5, running=1, ready=1), SPEC) == 1


def test_more_at_once_and_fewer_only_after_the_window() -> None:
    pool = Pool()
    assert pool.tick(5, load(40, 100.0)).desired == 8
    held = pool.tick(5, load(0, 0.0))
    assert held.desired == 8
    assert "a burst is on" in held.reason
    held = pool.tick(200, load(0, 0.0))
    assert held.desired == 8
    assert "1 once it has been enough until 08:05:05" in held.reason
    assert pool.tick(101, load(0, 0.0)).desired == 1


def test_a_burst_outlasts_a_window_of_nothing() -> None:
    pool = Pool(dataclasses.replace(SPEC, scale_in_window=0.0))
    pool.tick(5, load(40, 100.0))
    assert pool.tick(30, load(0, 0.0)).desired == 8
    assert pool.tick(31, load(0, 0.0)).desired == 1


def test_a_forecast_raises_the_floor() -> None:
    decision = Pool().tick(5, load(0, 0.0), dataclasses.replace(LIKE, nodes=5))
    assert decision.desired == 5
    assert decision.reason == "5: no work, 2 nodes; floor 5 from yesterday's 08:00"


def test_a_forecast_that_only_observes_changes_nothing() -> None:
    spec = dataclasses.replace(SPEC, forecast_mode=ForecastMode.OBSERVE)
    decision = Pool(spec).tick(5, load(0, 0.0), dataclasses.replace(LIKE, nodes=5))
    assert (decision.desired, decision.floor) == (2, 1)
    assert "yesterday's 08:00 would say 5" in decision.reason


def test_a_forecast_of_nothing_removes_nothing() -> None:
    pool = Pool(current=4)
    work = load(0, 0.0, running=4)
    for _ in range(100):
        assert pool.tick(60, work, dataclasses.replace(LIKE, nodes=0)).desired == 4


def test_silence_removes_nothing() -> None:
    pool = Pool(current=4)
    for _ in range(20):
        assert pool.tick(60, None).desired == 4
    stale = decide(SPEC, load(0, 0.0, at=NOW - timedelta(minutes=5)), 4, None, Memory(NOW, 4), NOW)
    assert stale.desired == 4
    assert "nothing heard since 07:55:00" in stale.reason


def test_the_ceiling_says_what_it_holds_back() -> None:
    assert "maxReplicas 8 holds back 9" in Pool().tick(5, load(40, 100.0)).reason


def test_a_restart_removes_nothing_at_once() -> None:
    pool = Pool(current=6)
    assert pool.tick(1, load(0, 0.0)).desired == 6


@pytest.mark.parametrize(
    ("fresh", "desired", "objection"),
    [
        (None, 4, "scheduler is away"),
        (load(20, 40.0), 4, "work came back"),
        (load(0, 0.0), 1, ""),
    ],
)
def test_nodes_go_only_when_the_scheduler_agrees(fresh: Load | None, desired: int, objection: str) -> None:
    decision = dataclasses.replace(Pool().tick(5, load(0, 0.0)), desired=1)
    verdict = revalidate(decision, SPEC, 4, fresh)
    assert verdict.desired == desired
    assert objection in verdict.objection


loads = st.builds(
    lambda queued, each, running: load(queued, queued * each, running),
    st.integers(0, 500),
    st.floats(0, 300),
    st.integers(0, 50),
)
specs = st.builds(
    lambda low, more, target, window, horizon, mode: dataclasses.replace(
        SPEC,
        min_replicas=low,
        max_replicas=max(1, low + more),
        target_utilisation=target,
        scale_in_window=window,
        horizon=horizon,
        forecast_mode=mode,
    ),
    st.integers(0, 20),
    st.integers(0, 50),
    st.floats(0.01, 1.0),
    st.floats(0, 900),
    st.floats(1, 3600),
    st.sampled_from(list(ForecastMode)),
)
ticks = st.lists(
    st.tuples(st.floats(0.1, 120), st.one_of(st.none(), loads), st.one_of(st.none(), st.integers(0, 100))),
    min_size=1,
    max_size=40,
)


@given(specs, st.integers(0, 80), ticks)
def test_never_outside_its_limits(spec: PoolSpec, current: int, steps: list[tuple[float, Load, int]]) -> None:
    pool = Pool(spec, current)
    for seconds, work, nodes in steps:
        ahead = None if nodes is None else dataclasses.replace(LIKE, nodes=nodes)
        decision = pool.tick(seconds, work, ahead)
        assert spec.min_replicas <= decision.floor <= decision.desired <= spec.max_replicas


@given(specs, st.integers(0, 80), ticks)
def test_no_scale_in_inside_the_window(spec: PoolSpec, current: int, steps: list[tuple[float, Load, int]]) -> None:
    """Whoever needed n nodes within the window still has them, as far as the limits allow."""
    pool = Pool(spec, current)
    asked: list[tuple[datetime, int]] = []
    for seconds, work, nodes in steps:
        before = spec.clamp(pool.current)
        decision = pool.tick(seconds, work, None if nodes is None else dataclasses.replace(LIKE, nodes=nodes))
        if work is not None:
            asked.append((pool.now, max(decision.floor, spec.clamp(decision.wanted))))
        since = pool.now - timedelta(seconds=spec.scale_in_window)
        recent = max((count for time, count in asked if time >= since), default=0)
        assert decision.desired >= min(before, recent)


@given(specs, loads, st.integers(0, 500), st.floats(0, 1000), st.integers(0, 80), st.integers(0, 600))
def test_more_backlog_never_means_fewer_nodes(
    spec: PoolSpec, work: Load, more: int, seconds: float, current: int, elapsed: int
) -> None:
    longer = dataclasses.replace(work, queued=work.queued + more, queued_seconds=work.queued_seconds + seconds)
    now = NOW + timedelta(seconds=elapsed)
    few, many = (
        decide(spec, dataclasses.replace(one, seen_at=now), current, None, Memory(NOW, current), now).desired
        for one in (work, longer)
    )
    assert many >= few
