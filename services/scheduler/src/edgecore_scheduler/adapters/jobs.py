"""Jobs, their history and their events, in one transaction."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import Artifact
from edgecore.jobs.v1.events_pb2 import JobStateChanged
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.states import JobState
from edgecore_runtime.clock import Clock
from edgecore_runtime.outbox import Outbox
from edgecore_scheduler.adapters.tables import attempts, jobs, transitions
from edgecore_scheduler.domain.job import Job

RECENT_ATTEMPTS = 20


class Jobs:
    """The queue and the jobs in it. Every method works in the caller's transaction."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def add(self, session: AsyncSession, job: Job) -> bool:
        """Take a job in; False if it is known already."""
        values = {
            "id": job.id,
            "user_id": job.user_id,
            "model": job.model,
            "backend": job.backend,
            "spec": job.spec,
            "state": job.state,
            "version": job.version,
            "attempt": job.attempt,
            "failures": job.failures,
            "node_id": job.node_id,
            "trace_context": job.trace_context,
        }
        added = await session.execute(upsert(jobs).values(values).on_conflict_do_nothing().returning(jobs.c.id))
        if added.scalar_one_or_none() is None:
            return False
        await self._record(session, job, None)
        return True

    async def get(self, session: AsyncSession, job_id: str) -> Job | None:
        """The job, locked until the transaction ends, so that its transitions happen one after another."""
        row = (await session.execute(select(jobs).where(jobs.c.id == job_id).with_for_update())).one_or_none()
        return None if row is None else _job(row)

    async def peek(self, session: AsyncSession, job_id: str) -> Job | None:
        """The job as it is now, without a lock: for answers, not for decisions."""
        row = (await session.execute(select(jobs).where(jobs.c.id == job_id))).one_or_none()
        return None if row is None else _job(row)

    async def any_queued(self, session: AsyncSession, models: frozenset[str]) -> bool:
        """Whether a job waits that one of the models can serve."""
        return (await session.execute(_waiting(models).with_only_columns(jobs.c.id))).first() is not None

    async def next_queued(self, session: AsyncSession, models: frozenset[str]) -> Job | None:
        """The job that waits longest among those the models can serve, locked."""
        row = (await session.execute(_waiting(models).with_for_update(skip_locked=True))).one_or_none()
        return None if row is None else _job(row)

    async def save(
        self, session: AsyncSession, job: Job, pause: float = 0.0, artifact: Artifact | None = None
    ) -> None:
        """Write the job, its new history rows and their events. `pause` delays its next attempt, in seconds."""
        await session.execute(
            update(jobs)
            .where(jobs.c.id == job.id)
            .values(
                state=job.state,
                version=job.version,
                attempt=job.attempt,
                failures=job.failures,
                node_id=job.node_id,
                cancel_requested=job.cancel_requested,
                not_before=func.clock_timestamp() + timedelta(seconds=pause),
            )
        )
        await self._record(session, job, artifact)

    async def position(self, session: AsyncSession, job_id: str) -> int:
        """The job's place among the waiting ones, from 1; 0 when it does not wait."""
        own = select(jobs.c.position).where(jobs.c.id == job_id, jobs.c.state == JobState.QUEUED).scalar_subquery()
        ahead = select(func.count()).where(jobs.c.state == JobState.QUEUED, jobs.c.position <= own)
        return int((await session.execute(ahead)).scalar_one())

    async def recent_seconds(self, session: AsyncSession, model: str) -> float | None:
        """Mean seconds that the last attempts of this model took from start to end; None without any."""
        recent = (
            select(attempts.c.seconds)
            .where(attempts.c.model == model, attempts.c.outcome == "SUCCEEDED")
            .order_by(attempts.c.finished_at.desc())
            .limit(RECENT_ATTEMPTS)
            .subquery()
        )
        return (await session.execute(select(func.avg(recent.c.seconds)))).scalar_one_or_none()

    async def _record(self, session: AsyncSession, job: Job, artifact: Artifact | None) -> None:
        for change in job.changes:
            now = self._clock.now()
            row = {"job_id": job.id, "occurred_at": now} | vars(change)
            await session.execute(insert(transitions).values(row))
            event = JobStateChanged(
                job_id=job.id,
                user_id=job.user_id,
                version=change.version,
                to=change.target.to_proto(),
                reason=change.reason.to_proto(),
                detail=change.detail,
                attempt=change.attempt,
                node_id=change.node_id,
                backend=job.backend,
                artifact=artifact if change.target is JobState.DELIVERED else None,
                occurred_at=timestamp(now),
            )
            setattr(event, "from", change.source.to_proto())  # a Python keyword
            await self._outbox.add(session, event, job.id)
        job.changes.clear()


def _waiting(models: frozenset[str]) -> Select[Any]:
    """The first job in the queue whose retry pause is over."""
    ready = jobs.c.not_before <= func.clock_timestamp()
    queue = select(jobs).where(jobs.c.state == JobState.QUEUED, jobs.c.model.in_(models), ready)
    return queue.order_by(jobs.c.position).limit(1)


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        user_id=row.user_id,
        model=row.model,
        backend=row.backend,
        spec=bytes(row.spec),
        state=JobState(row.state),
        version=row.version,
        attempt=row.attempt,
        failures=row.failures,
        node_id=row.node_id,
        cancel_requested=row.cancel_requested,
        trace_context=row.trace_context,
    )
