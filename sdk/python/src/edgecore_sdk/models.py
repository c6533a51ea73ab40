"""What the API answers, as plain values. Fields that a newer server adds are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from edgecore_sdk.money import amount

Json = Mapping[str, Any]

TERMINAL = frozenset({"DELIVERED", "ERROR", "CANCELLED"})


@dataclass(frozen=True)
class Attempt:
    """One try at a job on one node; `measured_seconds` is None while it runs."""

    number: int
    node: str | None
    outcome: str | None
    reason: str | None
    started_at: datetime | None
    finished_at: datetime | None
    measured_seconds: float | None

    @classmethod
    def parse(cls, body: Json) -> Attempt:
        return cls(
            number=int(body["attempt"]),
            node=body.get("node"),
            outcome=body.get("outcome"),
            reason=body.get("reason"),
            started_at=_time(body.get("started_at")),
            finished_at=_time(body.get("finished_at")),
            measured_seconds=body.get("measured_seconds"),
        )


@dataclass(frozen=True)
class JobError:
    """Why a job ended in ERROR: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True)
class Rendition:
    """One output file: `url` is a path of the API."""

    format: str
    url: str
    size_bytes: int
    media_type: str

    @classmethod
    def parse(cls, body: Json) -> Rendition:
        return cls(str(body["format"]), str(body["url"]), int(body["size_bytes"]), str(body["media_type"]))


@dataclass(frozen=True)
class Job:
    """A job as the gateway sees it; `version` grows with every change of state.

    `progress` is 0 to 1 over the whole job; `step` of `steps` counts within `stage`.
    """

    id: str
    state: str
    version: int
    progress: float
    stage: str | None
    step: int | None
    steps: int | None
    queue_position: int | None
    eta_seconds: float | None
    attempts: tuple[Attempt, ...]
    error: JobError | None
    video_url: str | None
    renditions: tuple[Rendition, ...]
    cost_estimated: Decimal | None
    cost_actual: Decimal | None
    created_at: datetime | None
    updated_at: datetime | None
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @classmethod
    def parse(cls, body: Json) -> Job:
        """Raises AttributeError, KeyError, TypeError or ValueError for a body that is not a job."""
        error = body.get("error")
        return cls(
            id=str(body["id"]),
            state=str(body["state"]),
            version=int(body.get("version") or 0),
            progress=float(body.get("progress") or 0.0),
            stage=body.get("stage"),
            step=body.get("step"),
            steps=body.get("steps"),
            queue_position=body.get("queue_position"),
            eta_seconds=body.get("eta_seconds"),
            attempts=tuple(Attempt.parse(attempt) for attempt in body.get("attempts") or ()),
            error=JobError(str(error["code"]), str(error["message"])) if error else None,
            video_url=body.get("video_url"),
            renditions=tuple(Rendition.parse(one) for one in body.get("renditions") or ()),
            cost_estimated=amount(body.get("cost_estimated")),
            cost_actual=amount(body.get("cost_actual")),
            created_at=_time(body.get("created_at")),
            updated_at=_time(body.get("updated_at")),
            finished_at=_time(body.get("finished_at")),
        )


@dataclass(frozen=True)
class Page:
    """One page of jobs; `next` is the cursor for `after` when `has_more`."""

    jobs: tuple[Job, ...]
    has_more: bool
    next: str | None

    @classmethod
    def parse(cls, body: Json) -> Page:
        jobs = tuple(Job.parse(job) for job in body["data"])
        return cls(jobs, bool(body["has_more"]), body.get("next"))


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a request, and the nearest value that would be right."""

    field: str
    rule: str
    nearest: object | None

    def __str__(self) -> str:
        hint = "" if self.nearest is None else f" (nearest: {self.nearest})"
        return f"{self.field}: {self.rule}{hint}"


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
