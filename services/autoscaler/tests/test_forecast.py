"""The forecast: yesterday or last week, with a margin, and not without a day of history."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from edgecore_autoscaler.domain.forecast import BUCKET, DAY, WEEK, forecast, series
from edgecore_autoscaler.domain.pool import ForecastMode, PoolSpec

NOW = datetime(2026, 11, 21, 8, 3, tzinfo=UTC)
SPEC = PoolSpec("p", "m", "aiprod", "cpu", 0, 50, 0.5, 60.0, 0, 300.0, ForecastMode.ACT, 300.0, 0.9)


def busy_at_eight(days: int, peak: float) -> list[float]:
    """GPUs busy up to now: `peak` between 08:00 and 09:00, else 0."""
    end = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    starts = [end - (days * DAY - i) * BUCKET for i in range(days * DAY)]
    return [peak if start.hour == 8 else 0.0 for start in starts]


def test_no_forecast_without_a_day_of_history() -> None:
    assert forecast([1.0] * (DAY - 1), SPEC, 1, NOW) is None


def test_yesterday_comes_again() -> None:
    ahead = forecast(busy_at_eight(2, peak=3.0), SPEC, 1, NOW)
    assert ahead is not None
    assert ahead.nodes == 6, "three busy GPUs at a target of one half"
    assert str(ahead) == "yesterday's 08:00"


def test_nodes_are_asked_for_before_they_are_needed() -> None:
    """Cold start and buffer are six minutes: at 07:55 the hour from 08:00 counts, at 07:45 it does not."""
    history = busy_at_eight(2, peak=3.0)
    late = forecast(history[:-1], SPEC, 1, NOW.replace(hour=7, minute=55))
    early = forecast(history[:-2], SPEC, 1, NOW.replace(hour=7, minute=43))
    assert late is not None
    assert early is not None
    assert (late.nodes, early.nodes) == (6, 0)


def test_two_jobs_at_a_time_halve_the_nodes() -> None:
    ahead = forecast(busy_at_eight(2, peak=3.0), SPEC, 2, NOW)
    assert ahead is not None
    assert ahead.nodes == 3


def test_the_margin_is_the_quantile_of_earlier_errors() -> None:
    """Days that differ by noise of known size: the margin covers nine of ten of its steps."""
    noise = [(i * 7919 % 101) / 100 for i in range(3 * DAY)]
    ahead = forecast(noise, SPEC, 1, NOW)
    assert ahead is not None
    errors = sorted(noise[i] - noise[i - DAY] for i in range(DAY, 3 * DAY))
    assert ahead.margin == pytest.approx(errors[math.floor(0.9 * len(errors))], abs=0.02)


def test_a_week_is_the_season_once_there_are_two() -> None:
    saturdays = [2.0 if i // DAY % 7 == 0 else 0.0 for i in range(2 * WEEK)]
    ahead = forecast(saturdays, SPEC, 1, NOW)
    assert ahead is not None
    assert ahead.nodes == 4
    assert str(ahead) == "last Saturday's 08:00"


def test_minutes_without_arrivals_count_as_none() -> None:
    start = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
    demand = series([(start, 600.0), (start + 3 * BUCKET, 300.0)], NOW)
    assert demand == [1.0, 0.0, 0.0, 0.5, 0.0, 0.0]
    assert series([], NOW) == []
    assert series([(NOW + timedelta(days=1), 1.0)], NOW) == []
