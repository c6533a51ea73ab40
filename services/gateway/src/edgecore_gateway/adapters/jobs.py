"""Jobs in PostgreSQL: accepted by a request, changed by events, read by their owner.

Nothing here commits: whoever received the request or the event does.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_contracts.states import INITIAL_VERSION, JobState
from edgecore_gateway.adapters.tables import attempts, idempotency, job_transitions, jobs
from edgecore_gateway.domain.job import Attempt, Job
from edgecore_gateway.domain.projection import AttemptEnd, StateChange, measured_seconds
from edgecore_gateway.domain.spec import JobSpec

# Built once: on the way of every request, building a statement costs more than running it.
_INSERT_JOB = insert(jobs)
_CLAIM_KEY = upsert(idempotency).on_conflict_do_nothing().returning(idempotency.c.job_id)
_CLAIMED = select(idempotency.c.job_id, idempotency.c.request_hash).where(
    idempotency.c.user_id == bindparam("user_id"), idempotency.c.key == bindparam("key")
)
_ONE = select(jobs).where(jobs.c.id == bindparam("job_id"), jobs.c.user_id == bindparam("user_id"))
_ATTEMPTS = (
    select(attempts).where(attempts.c.job_id.in_(bindparam("ids", expanding=True))).order_by(attempts.c.attempt)
)
_HISTORY = select(job_transitions).where(job_transitions.c.job_id == bindparam("job_id"))

TERMINAL = tuple(state for state in JobState if state.terminal)


class UnknownJob(LookupError):
    """This gateway never accepted such a job."""


def accepted(job_id: str, user_id: str, spec: JobSpec, now: datetime) -> Job:
    """The job as it is when it was just accepted."""
    return Job(
        id=job_id,
        user_id=user_id,
        state=JobState.INIT,
        version=INITIAL_VERSION,
        spec=spec.as_dict(),
        metadata=spec.metadata,
        reason=None,
        detail=None,
        artifact=None,
        created_at=now,
        updated_at=now,
        finished_at=None,
    )


async def add(session: AsyncSession, job: Job) -> None:
    """Store a just accepted job."""
    row = {
        "id": job.id,
        "user_id": job.user_id,
        "state": job.state,
        "version": job.version,
        "spec": job.spec,
        "metadata": job.metadata,
        "attempt": 0,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "reservation": job.reservation,
        "cost_estimated": job.cost_estimated,
    }
    await session.execute(_INSERT_JOB, row)


async def claimed(session: AsyncSession, user_id: str, key: str) -> tuple[str, bytes] | None:
    """The job and the hash an idempotency key is bound to, None while it is free."""
    bound = (await session.execute(_CLAIMED, {"user_id": user_id, "key": key})).one_or_none()
    return (bound.job_id, bytes(bound.request_hash)) if bound else None


async def claim_key(
    session: AsyncSession, user_id: str, key: str, job_id: str, request_hash: bytes
) -> tuple[str, bytes] | None:
    """Bind an idempotency key to a new job. None: it is ours; otherwise the job and the hash it is bound to.

    A concurrent request with the same key waits here until the first one is committed or gone.
    """
    row = {"user_id": user_id, "key": key, "job_id": job_id, "request_hash": request_hash}
    if (await session.execute(_CLAIM_KEY, row)).scalar_one_or_none() is not None:
        return None
    bound = (await session.execute(_CLAIMED, {"user_id": user_id, "key": key})).one()
    return bound.job_id, bytes(bound.request_hash)


async def get(session: AsyncSession, job_id: str, user_id: str) -> Job | None:
    """The user's job with its attempts; None when there is none, or it is another user's."""
    row = (await session.execute(_ONE, {"job_id": job_id, "user_id": user_id})).one_or_none()
    if row is None:
        return None
    return (await _with_attempts(session, [_job(row)]))[0] if row.version > INITIAL_VERSION else _job(row)


async def page(
    session: AsyncSession, user_id: str, after: str | None, state: JobState | None, limit: int
) -> list[Job]:
    """At most `limit` of the user's jobs, newest first, beginning after the job `after`."""
    query: Select[Any] = select(jobs).where(jobs.c.user_id == user_id).order_by(jobs.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(jobs.c.id < after)
    if state is not None:
        query = query.where(jobs.c.state == state)
    rows = (await session.execute(query)).all()
    return await _with_attempts(session, [_job(row) for row in rows])


async def history(session: AsyncSession, job_id: str) -> list[Row[Any]]:
    """The job's transitions, oldest first."""
    ordered = _HISTORY.order_by(job_transitions.c.version)
    return list((await session.execute(ordered, {"job_id": job_id})).all())


async def request_cancel(session: AsyncSession, job_id: str, user_id: str, now: datetime) -> bool:
    """Note the wish to cancel; False when it was noted before or the job is over (or not the user's)."""
    noted = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.user_id == user_id)
        .where(jobs.c.cancel_requested_at.is_(None), jobs.c.state.not_in(TERMINAL))
        .values(cancel_requested_at=now)
        .returning(jobs.c.id)
    )
    return (await session.execute(noted)).scalar_one_or_none() is not None


async def apply_state(session: AsyncSession, change: StateChange) -> None:
    """Write the history row, and the job itself when the version is newer. Raises UnknownJob."""
    over = change.occurred_at if change.to_state.terminal else None
    newer = (
        update(jobs)
        .where(jobs.c.id == change.job_id, jobs.c.version < change.version)
        .values(
            state=change.to_state,
            version=change.version,
            attempt=change.attempt,
            reason=change.reason,
            detail=change.detail,
            artifact=change.artifact,
            other_artifacts=change.other_artifacts,
            updated_at=change.occurred_at,
            finished_at=over,
        )
        .returning(jobs.c.id)
    )
    if (await session.execute(newer)).scalar_one_or_none() is None:
        await _must_exist(session, change.job_id)
    row = {
        "job_id": change.job_id,
        "version": change.version,
        "from_state": change.from_state,
        "to_state": change.to_state,
        "reason": change.reason,
        "detail": change.detail,
        "attempt": change.attempt,
        "node": change.node,
        "occurred_at": change.occurred_at,
    }
    await session.execute(upsert(job_transitions).on_conflict_do_nothing(), row)
    if change.starts_attempt:
        await _write_attempt(
            session, change.job_id, change.attempt, node=change.node, started_at=change.occurred_at
        )


async def apply_attempt_end(session: AsyncSession, end: AttemptEnd) -> None:
    """Write what is known at an attempt's end. Raises UnknownJob."""
    await _must_exist(session, end.job_id)
    await _write_attempt(
        session,
        end.job_id,
        end.attempt,
        node=end.node,
        outcome=end.outcome,
        reason=end.reason,
        measurements=end.measurements,
        finished_at=end.occurred_at,
    )


async def _write_attempt(session: AsyncSession, job_id: str, attempt: int, **values: object) -> None:
    statement = upsert(attempts).values(job_id=job_id, attempt=attempt, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["job_id", "attempt"], set_=values))


async def _must_exist(session: AsyncSession, job_id: str) -> None:
    if (await session.execute(select(jobs.c.id).where(jobs.c.id == job_id))).scalar_one_or_none() is None:
        raise UnknownJob(f"the gateway has no job {job_id!r}")


async def _with_attempts(session: AsyncSession, found: list[Job]) -> list[Job]:
    ids = [job.id for job in found if job.version > INITIAL_VERSION]
    if not ids:
        return found
    by_job: dict[str, list[Attempt]] = {}
    for row in (await session.execute(_ATTEMPTS, {"ids": ids})).all():
        by_job.setdefault(row.job_id, []).append(_attempt(row))
    return [replace(job, attempts=tuple(by_job.get(job.id, ()))) for job in found]


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        user_id=row.user_id,
        state=JobState(row.state),
        version=row.version,
        spec=row.spec,
        metadata=row.metadata,
        reason=row.reason,
        detail=row.detail,
        artifact=row.artifact,
        other_artifacts=row.other_artifacts or [],
        created_at=row.created_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
        reservation=row.reservation,
        cost_estimated=row.cost_estimated,
        cost_actual=row.cost_actual,
    )


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        attempt=row.attempt,
        node=row.node,
        outcome=row.outcome,
        reason=row.reason,
        started_at=row.started_at,
        finished_at=row.finished_at,
        measured_seconds=measured_seconds(row.measurements),
    )
