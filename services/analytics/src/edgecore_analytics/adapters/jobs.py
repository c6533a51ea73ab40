"""A job's facts as rows."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_analytics.adapters.tables import OPEN, attempts, costs, jobs
from edgecore_analytics.domain.job import Attempt, CostLine, Job
from edgecore_contracts.states import JobState

PRUNE_BATCH = 1000

_open = text(OPEN)


async def load(session: AsyncSession, job_id: str) -> Job:
    """The job as far as it is known, locked until the transaction ends; a new one where it was not known.

    The lock makes a job's events take turns, whichever topics and replicas they come from.
    """
    await session.execute(upsert(jobs).values(_row(Job(job_id))).on_conflict_do_nothing())
    row = (await session.execute(select(jobs).where(jobs.c.id == job_id).with_for_update())).one()
    tried = await session.execute(select(attempts).where(attempts.c.job_id == job_id))
    posted = await session.execute(select(costs).where(costs.c.job_id == job_id))
    return Job(
        id=row.id,
        user_id=row.user_id,
        model=row.model,
        accepted_at=row.accepted_at,
        asked_seconds=row.asked_seconds,
        made_seconds=row.made_seconds,
        state=JobState(row.state),
        version=row.version,
        finished_at=row.finished_at,
        attempts={one.attempt: Attempt(one.backend, one.outcome, one.reason, one.seconds) for one in tried},
        costs={
            (one.attempt, one.kind): CostLine(one.micros, one.quantity, one.price_id, one.occurred_at)
            for one in posted
        },
    )


async def store(session: AsyncSession, before: Job, job: Job) -> None:
    """Write what changed since `before`."""
    for number, attempt in job.attempts.items():
        if attempt != before.attempts.get(number):
            values = asdict(attempt)
            key = {"job_id": job.id, "attempt": number}
            added = upsert(attempts).values(key | values)
            await session.execute(added.on_conflict_do_update(constraint="pk_attempts", set_=values))
    for (number, kind), line in job.costs.items():
        if (number, kind) not in before.costs:
            key = {"job_id": job.id, "attempt": number, "kind": kind}
            await session.execute(upsert(costs).values(key | asdict(line)).on_conflict_do_nothing())
    await session.execute(update(jobs).where(jobs.c.id == job.id).values(_row(job)))


async def count_open(session: AsyncSession) -> dict[str, int]:
    """How many jobs are in each state that is not terminal, of those whose acceptance is known."""
    counted = select(jobs.c.state, func.count()).where(_open, jobs.c.accepted_at.is_not(None))
    return {row[0]: row[1] for row in await session.execute(counted.group_by(jobs.c.state))}


async def prune(session: AsyncSession, retention: timedelta) -> int:
    """Forget up to PRUNE_BATCH jobs past the retention, with their attempts and costs; returns how many."""
    age = func.coalesce(jobs.c.accepted_at, jobs.c.seen_at)
    old = select(jobs.c.id).where(age < func.clock_timestamp() - retention).limit(PRUNE_BATCH)
    gone = await session.execute(delete(jobs).where(jobs.c.id.in_(old)))
    return int(gone.rowcount)  # type: ignore[attr-defined]


def _row(job: Job) -> dict[str, Any]:
    """The job's own columns, its figures among them."""
    return {
        "id": job.id,
        "user_id": job.user_id,
        "model": job.model,
        "accepted_at": job.accepted_at,
        "asked_seconds": job.asked_seconds,
        "made_seconds": job.made_seconds,
        "state": job.state,
        "version": job.version,
        "finished_at": job.finished_at,
        "attempts": len(job.attempts),
        "fallback": job.fallback,
        "video_seconds": job.video_seconds,
        "compute_seconds": job.compute_seconds,
        "cost_micros": job.cost_micros,
        "latency_seconds": job.latency_seconds,
    }
