from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edgecore_contracts.states import JobState
from edgecore_gateway.domain.job import Job, Live, progress, status

NOW = datetime(2026, 11, 21, 8, 0, 0, 123456, tzinfo=UTC)
JOB = Job(
    id="job_1",
    user_id="user_1",
    state=JobState.GENERATING,
    version=3,
    spec={"steps": 20},
    metadata={},
    reason="STARTED",
    detail="",
    artifact=None,
    created_at=NOW,
    updated_at=NOW,
    finished_at=None,
)


def live(state: JobState, stage: str | None = None, step: int = 0, steps: int = 0, ahead: int = 0) -> Live:
    return Live(JOB.version + ahead, state, stage, step, steps, queue_position=None, eta_seconds=None)


@pytest.mark.parametrize(
    ("state", "known", "expected"),
    [
        (JobState.INIT, None, 0.0),
        (JobState.QUEUED, None, 0.0),
        (JobState.ALLOCATED, live(JobState.ALLOCATED, "loading"), 0.02),
        (JobState.GENERATING, None, 0.05),
        (JobState.GENERATING, live(JobState.GENERATING, "sampling", 0, 20), 0.05),
        (JobState.GENERATING, live(JobState.GENERATING, "sampling", 10, 20), 0.475),
        (JobState.GENERATING, live(JobState.GENERATING, "sampling", 20, 20), 0.9),
        (JobState.FINALIZING, live(JobState.FINALIZING, "decoding"), 0.92),
        (JobState.FINALIZING, live(JobState.FINALIZING, "uploading"), 0.98),
        (JobState.DELIVERED, None, 1.0),
    ],
)
def test_progress(state: JobState, known: Live | None, expected: float) -> None:
    assert progress(state, known) == expected


def test_what_is_live_shows_unless_the_projection_is_newer() -> None:
    ahead = status(JOB, live(JobState.FINALIZING, "encoding", 20, 20, ahead=1))
    assert (ahead["state"], ahead["stage"], ahead["step"], ahead["progress"]) == (
        "GENERATING",
        "encoding",
        20,
        0.95,
    )
    older = status(JOB, live(JobState.ALLOCATED, "loading", 0, 20, ahead=-1))
    assert (older["state"], older["stage"], older["progress"]) == ("GENERATING", None, 0.05)


def test_a_job_that_is_over_for_the_scheduler_alone_is_not_over() -> None:
    seen = status(JOB, live(JobState.DELIVERED, ahead=2))
    assert (seen["state"], seen["progress"]) == ("GENERATING", 0.05)


def test_an_error_has_code_and_message_and_a_retry_has_none() -> None:
    over = replace(JOB, state=JobState.ERROR, reason="TIMEOUT", detail="too slow", finished_at=NOW)
    assert status(over)["error"] == {"code": "TIMEOUT", "message": "too slow"}
    assert status(over)["finished_at"] == "2026-11-21T08:00:00.123Z"
    assert status(replace(over, state=JobState.QUEUED))["error"] is None
