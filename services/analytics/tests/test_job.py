"""A job's figures follow from its events alone: neither order nor repetition matters."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from edgecore.jobs.v1.commands_pb2 import GenerateVideo
from edgecore.jobs.v1.events_pb2 import AttemptFinished, JobStateChanged
from edgecore_analytics.domain.job import Job, length, moment
from edgecore_analytics.domain.period import Bucket, Period
from edgecore_analytics.entrypoints.events import apply
from edgecore_contracts.errors import InvalidInput
from edgecore_contracts.states import JobState

ENDS = [JobState.DELIVERED, JobState.ERROR, JobState.CANCELLED]
BACKENDS = st.lists(st.sampled_from(["aiprod", "runway", "veo"]), min_size=1, max_size=4)


def folded(messages: list[Any]) -> Job:
    job = Job("job_1")
    for message in messages:
        apply(job, message)
    return job


@given(data=st.data(), backends=BACKENDS, end=st.sampled_from(ENDS), micros=st.integers(-5, 10**12))
def test_order_and_repetition_change_nothing(
    kit: SimpleNamespace, data: st.DataObject, backends: list[str], end: JobState, micros: int
) -> None:
    events = kit.life(job_id="job_1", backends=tuple(backends), end=end, micros=micros)
    repeated = data.draw(st.lists(st.sampled_from(events)))
    shuffled = data.draw(st.permutations(events + repeated))
    job = folded(shuffled)
    assert job == folded(events)
    assert job.state is end
    assert job.backends == list(dict.fromkeys(backends))
    assert job.fallback is (len(set(backends)) > 1)
    assert job.last_backend == backends[-1]
    assert job.cost_micros == micros * len(backends)
    assert job.compute_seconds == pytest.approx(1.75 * len(backends))
    assert job.latency_seconds == (10.0 if end is JobState.DELIVERED else None)
    assert job.video_seconds == (2.0 if end is JobState.DELIVERED else 0.0)


def test_a_delivery_that_does_not_say_how_long_it_is_counts_as_asked(kit: SimpleNamespace) -> None:
    events = kit.life()
    events[-1].ClearField("artifact")
    assert folded(events).video_seconds == 2.0


def test_clocks_that_disagree_give_no_negative_latency(kit: SimpleNamespace) -> None:
    assert folded(kit.life(seconds=-3)).latency_seconds == 0.0


def test_measurements_that_are_no_numbers_count_nothing() -> None:
    event = AttemptFinished(attempt=1, outcome="ATTEMPT_OUTCOME_FAILED", reason="REASON_TIMEOUT")
    event.measurements.generate_seconds = float("nan")
    event.measurements.encode_seconds = float("inf")
    event.measurements.load_seconds = -1.0
    event.measurements.upload_seconds = 0.5
    assert folded([event]).compute_seconds == 0.5
    assert (length(16, 0.0), length(16, float("nan")), length(16, 8.0)) == (0.0, 0.0, 2.0)


@pytest.mark.parametrize(
    "message",
    [
        GenerateVideo(job_id="job_1"),
        JobStateChanged(job_id="job_1", version=1),
        JobStateChanged(job_id="job_1", version=1, to="JOB_STATE_ERROR"),
        AttemptFinished(job_id="job_1", attempt=1, outcome="ATTEMPT_OUTCOME_FAILED"),
    ],
)
def test_what_cannot_be_understood_is_said_so(message: Any) -> None:
    with pytest.raises(ValueError, match=r"missing|not a valid"):
        folded([message])


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    seconds=st.integers(1, 31 * 86400),
    bucket=st.sampled_from(Bucket),
)
def test_buckets_have_no_gaps_and_cover_the_period(start: datetime, seconds: int, bucket: Bucket) -> None:
    period = Period(start, start + timedelta(seconds=seconds), bucket)
    period.check()
    starts = list(period.starts())
    assert starts[0] <= start < starts[0] + bucket.step
    assert starts[-1] < period.end <= starts[-1] + bucket.step
    assert starts == [starts[0] + number * bucket.step for number in range(len(starts))]
    assert len(starts) <= 31 * 24 + 1


@pytest.mark.parametrize(
    ("days", "bucket", "rule"),
    [
        (0, Bucket.DAY, "before `to`"),
        (-1, Bucket.HOUR, "before `to`"),
        (31.1, Bucket.HOUR, "at most 31 days"),
        (366.1, Bucket.DAY, "at most 366 days"),
    ],
)
def test_periods_that_are_refused(days: float, bucket: Bucket, rule: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match=rule):
        Period(start, start + timedelta(days=days), bucket).check()


@pytest.mark.parametrize("seconds", [10**12, -(10**12)])
def test_a_time_out_of_range(seconds: int) -> None:
    with pytest.raises(ValueError, match=r"time|range|year"):
        moment(Timestamp(seconds=seconds))
