"""A job as the gateway knows it, and how a caller sees it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edgecore_contracts.money import text
from edgecore_contracts.states import LEASED, JobState

PROGRESS = {
    JobState.INIT: 0.0,
    JobState.QUEUED: 0.0,
    JobState.ALLOCATED: 0.02,
    JobState.GENERATING: 0.05,
    JobState.FINALIZING: 0.92,
    JobState.DELIVERED: 1.0,
    JobState.ERROR: 1.0,
    JobState.CANCELLED: 1.0,
}
"""How far a job is when nothing but its state is known."""

DEFAULT_FORMAT, THUMBNAIL = "mp4", "thumbnail"

SAMPLING_SHARE = 0.85
FINALIZING_PROGRESS = {"decoding": 0.92, "encoding": 0.95, "uploading": 0.98}


@dataclass(frozen=True)
class Attempt:
    """One try on one node; outcome, reason and finished_at are None while it runs."""

    attempt: int
    node: str
    outcome: str | None
    reason: str | None
    started_at: datetime | None
    finished_at: datetime | None
    measured_seconds: float | None


@dataclass(frozen=True)
class Live:
    """What is too short-lived for an event, as the scheduler last said it; `stage` is a word, eta seconds."""

    version: int
    state: JobState
    stage: str | None
    step: int
    steps: int
    queue_position: int | None
    eta_seconds: float | None


@dataclass(frozen=True)
class Job:
    """The projection of a job's events, and what its owner asked for."""

    id: str
    user_id: str
    state: JobState
    version: int
    spec: dict[str, Any]
    metadata: dict[str, str]
    reason: str | None
    detail: str | None
    artifact: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    attempts: tuple[Attempt, ...] = ()
    reservation: str = "none"
    cost_estimated: int | None = None  # micros, as the next one
    cost_actual: int | None = None
    other_artifacts: list[dict[str, Any]] = field(default_factory=list)

    def file(self, name: str | None) -> dict[str, Any] | None:
        """The artifact of a delivered job in a format, or the thumbnail; without a name the first format's."""
        if self.state is not JobState.DELIVERED or self.artifact is None:
            return None
        if name is None:
            return self.artifact
        every = [self.artifact, *self.other_artifacts]
        return next((one for one in every if format_of(one) == name), None)

    @property
    def renditions(self) -> list[dict[str, Any]]:
        """The artifacts that are videos, in the order asked for; none before the job is delivered."""
        if self.state is not JobState.DELIVERED or self.artifact is None:
            return []
        return [one for one in (self.artifact, *self.other_artifacts) if format_of(one) != THUMBNAIL]


def format_of(artifact: dict[str, Any]) -> str:
    """Before there were several formats nothing named the only one."""
    return artifact.get("format") or DEFAULT_FORMAT


def status(job: Job, live: Live | None = None) -> dict[str, Any]:
    """The status object of the API. What is live counts unless the projection is newer.

    The scheduler may be ahead of its events: state and version are those of the projection, so that they agree
    with the history, while progress already follows the scheduler and never goes back between two events.
    """
    if live is not None and (live.version < job.version or live.state.terminal != job.state.terminal):
        live = None
    steps = int(job.spec["steps"])
    sampled = job.state in (JobState.FINALIZING, JobState.DELIVERED)
    return {
        "id": job.id,
        "state": job.state,
        "version": job.version,
        "progress": progress(live.state if live else job.state, live),
        "stage": live.stage if live else None,
        "step": live.step if live and live.steps else steps if sampled else 0,
        "steps": live.steps if live and live.steps else steps,
        "queue_position": live.queue_position if live else None,
        "eta_seconds": live.eta_seconds if live else None,
        "attempts": [_attempt(one) for one in job.attempts],
        "error": {"code": job.reason, "message": job.detail} if job.state is JobState.ERROR else None,
        "video_url": f"/api/v1/jobs/{job.id}/video" if job.state is JobState.DELIVERED else None,
        "renditions": [_rendition(job.id, one) for one in job.renditions],
        "thumbnail_url": f"/api/v1/jobs/{job.id}/thumbnail" if job.file(THUMBNAIL) else None,
        "cost_estimated": None if job.cost_estimated is None else text(job.cost_estimated),
        "cost_actual": None if job.cost_actual is None else text(job.cost_actual),
        "status_url": f"/api/v1/status/{job.id}",
        "spec": job.spec,
        "metadata": job.metadata,
        "created_at": moment(job.created_at),
        "updated_at": moment(job.updated_at),
        "finished_at": moment(job.finished_at),
    }


def progress(state: JobState, live: Live | None) -> float:
    """0 to 1, and 1 when the job is over, however it ended."""
    if live is not None and state is JobState.GENERATING and live.steps:
        return round(PROGRESS[state] + SAMPLING_SHARE * min(live.step / live.steps, 1.0), 4)
    if live is not None and state is JobState.FINALIZING:
        return FINALIZING_PROGRESS.get(live.stage or "", PROGRESS[state])
    return PROGRESS[state]


def has_live(state: JobState) -> bool:
    """Whether the scheduler can know more of a job in this state than its events say."""
    return state is JobState.QUEUED or state in LEASED


def moment(time: datetime | None) -> str | None:
    """RFC 3339 in UTC, milliseconds."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z") if time else None


def _rendition(job_id: str, artifact: dict[str, Any]) -> dict[str, Any]:
    name = format_of(artifact)
    return {
        "format": name,
        "url": f"/api/v1/jobs/{job_id}/video?format={name}",
        "size_bytes": artifact["size_bytes"],
        "media_type": artifact["media_type"],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "node": attempt.node,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "started_at": moment(attempt.started_at),
        "finished_at": moment(attempt.finished_at),
        "measured_seconds": attempt.measured_seconds,
    }
