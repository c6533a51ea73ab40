"""Jobs, their history and their events, in one transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
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
from edgecore_scheduler.adapters.tables import attempts, decisions, jobs, transitions
from edgecore_scheduler.domain.decisions import Code, Decision, Look, Verdict
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.terms import Reservation, Terms

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
            "spec": job.spec,
            "trace_context": job.trace_context,
            "fallback": job.terms.fallback,
            "max_cost": job.terms.max_cost,
        } | _changing(job)
        added = await session.execute(upsert(jobs).values(values).on_conflict_do_nothing().returning(jobs.c.id))
        if added.scalar_one_or_none() is None:
            return False
        await self._record(session, job)
        return True

    async def get(self, session: AsyncSession, job_id: str) -> Job | None:
        """The job, locked until the transaction ends, so that its transitions happen one after another."""
        row = (await session.execute(_rows().where(jobs.c.id == job_id).with_for_update())).one_or_none()
        return None if row is None else _job(row)

    async def peek(self, session: AsyncSession, job_id: str) -> Job | None:
        """The job as it is now, without a lock: for answers, not for decisions."""
        row = (await session.execute(_rows().where(jobs.c.id == job_id))).one_or_none()
        return None if row is None else _job(row)

    async def any_queued(
        self, session: AsyncSession, backend: str, models: frozenset[str] | None, node_id: str
    ) -> bool:
        """Whether a job waits for the backend that the node can serve with its models (None: any)."""
        waiting = _waiting(backend, models, node_id).with_only_columns(jobs.c.id)
        return (await session.execute(waiting)).first() is not None

    async def next_queued(
        self, session: AsyncSession, backend: str, models: frozenset[str] | None, node_id: str
    ) -> Job | None:
        """The job that waits longest for the backend and that the models can serve, locked."""
        waiting = _waiting(backend, models, node_id).with_for_update(skip_locked=True)
        row = (await session.execute(waiting)).one_or_none()
        return None if row is None else _job(row)

    async def save(
        self,
        session: AsyncSession,
        job: Job,
        pause: float | None = None,
        artifact: Artifact | None = None,
        other_artifacts: Sequence[Artifact] = (),
    ) -> None:
        """Write the job, its new history rows, their events, and its new decisions.

        `pause` is for a job that comes back into the queue: seconds until its next attempt.
        """
        values = _changing(job) | {"cancel_requested": job.cancel_requested}
        if pause is not None:
            now = func.clock_timestamp()
            values |= {"not_before": now + timedelta(seconds=pause), "waiting_since": now}
        await session.execute(update(jobs).where(jobs.c.id == job.id).values(values))
        await self._record(session, job, artifact, other_artifacts)

    async def looking_elsewhere(
        self, session: AsyncSession, own: frozenset[str], absent: frozenset[str], after: int, most: int
    ) -> list[tuple[int, Job]]:
        """Waiting jobs that may change their step, in order, with their position beyond `after`.

        Those are the ones that wait elsewhere than at one of our `own` backends, or for a model that has had no
        node for long.
        """
        open_ = (jobs.c.state == JobState.QUEUED, jobs.c.fallback, ~jobs.c.held, jobs.c.position > after)
        moving = _rows().where(*open_, jobs.c.backend.not_in(own) | jobs.c.model.in_(absent))
        rows = await session.execute(moving.order_by(jobs.c.position).limit(most))
        return [(row.position, _job(row)) for row in rows]

    async def waiting(self, session: AsyncSession) -> dict[tuple[str, str], int]:
        """How many jobs wait, by (backend, model)."""
        open_ = (jobs.c.state == JobState.QUEUED, ~jobs.c.held)
        counted = select(jobs.c.backend, jobs.c.model, func.count()).where(*open_)
        rows = await session.execute(counted.group_by(jobs.c.backend, jobs.c.model))
        return {(backend, model): count for backend, model, count in rows}

    async def decisions(self, session: AsyncSession, job_id: str) -> list[tuple[Decision, datetime]]:
        """Every decision of the job with its time, oldest first."""
        own = select(decisions).where(decisions.c.job_id == job_id).order_by(decisions.c.number)
        return [(_decision(row), row.decided_at) for row in await session.execute(own)]

    async def position(self, session: AsyncSession, job_id: str) -> int:
        """The job's place among the waiting ones, from 1; 0 when it does not wait."""
        own = select(jobs.c.position).where(jobs.c.id == job_id, jobs.c.state == JobState.QUEUED).scalar_subquery()
        ahead = select(func.count()).where(jobs.c.state == JobState.QUEUED, jobs.c.position <= own)
        return int((await session.execute(ahead)).scalar_one())

    async def recent_seconds(self, session: AsyncSession, backend: str, model: str) -> float | None:
        """Mean seconds that the last attempts of this model took there, from start to end; None without any."""
        recent = (
            select(attempts.c.seconds)
            .where(attempts.c.backend == backend, attempts.c.model == model, attempts.c.outcome == "SUCCEEDED")
            .order_by(attempts.c.finished_at.desc())
            .limit(RECENT_ATTEMPTS)
            .subquery()
        )
        return (await session.execute(select(func.avg(recent.c.seconds)))).scalar_one_or_none()

    async def _record(
        self,
        session: AsyncSession,
        job: Job,
        artifact: Artifact | None = None,
        other_artifacts: Sequence[Artifact] = (),
    ) -> None:
        for change in job.changes:
            now = self._clock.now()
            row = {"job_id": job.id, "occurred_at": now} | vars(change)
            del row["backend"]
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
                backend=change.backend,
                artifact=artifact if change.target is JobState.DELIVERED else None,
                other_artifacts=other_artifacts if change.target is JobState.DELIVERED else (),
                occurred_at=timestamp(now),
            )
            setattr(event, "from", change.source.to_proto())  # a Python keyword
            await self._outbox.add(session, event, job.id)
        job.changes.clear()
        if job.decisions:
            await session.execute(insert(decisions), [_decision_row(job.id, one) for one in job.decisions])
            job.decisions.clear()


def _rows() -> Select[Any]:
    waited = func.extract("epoch", func.clock_timestamp() - jobs.c.waiting_since)
    return select(jobs, waited.label("waited"))


def _waiting(backend: str, models: frozenset[str] | None, node_id: str) -> Select[Any]:
    """The first job in the queue of a backend whose retry pause is over."""
    ready = jobs.c.not_before <= func.clock_timestamp()
    queue = _rows().where(jobs.c.state == JobState.QUEUED, ~jobs.c.held, jobs.c.backend == backend, ready)
    queue = queue.where(jobs.c.bound.in_(("", node_id)))
    if models is not None:
        queue = queue.where(jobs.c.model.in_(models))
    return queue.order_by(jobs.c.position).limit(1)


def _changing(job: Job) -> dict[str, Any]:
    """The columns that change in a job's life."""
    return {
        "backend": job.backend,
        "state": job.state,
        "version": job.version,
        "attempt": job.attempt,
        "failures": job.failures,
        "node_id": job.node_id,
        "reservation": job.terms.reservation,
        "quotes": dict(job.terms.quotes),
        "held": job.held,
        "bound": job.bound,
        "backend_failures": job.backend_failures,
        "looks": job.looks,
        "decided": job.decided,
    }


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
        terms=Terms(Reservation(row.reservation), row.fallback, row.quotes, row.max_cost),
        held=row.held,
        bound=row.bound,
        backend_failures=row.backend_failures,
        looks=row.looks,
        decided=row.decided,
        waited=float(row.waited),
    )


def _decision_row(job_id: str, decision: Decision) -> dict[str, Any]:
    numbered = {"job_id": job_id, "number": decision.number, "attempt": decision.attempt}
    return numbered | vars(decision.look)


def _decision(row: Row[Any]) -> Decision:
    look = Look(row.backend, Verdict(row.verdict), Code(row.code), row.detail, row.node_id)
    return Decision(row.number, row.attempt, look)
