"""Leases and attempts. The database's clock alone decides when a lease has expired."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, extract, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import Measurements
from edgecore.jobs.v1.events_pb2 import AttemptFinished, AttemptOutcome
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.states import Reason
from edgecore_runtime.clock import Clock
from edgecore_runtime.ids import new_id
from edgecore_runtime.outbox import Outbox
from edgecore_scheduler.adapters.tables import attempts, jobs, leases
from edgecore_scheduler.domain.job import Job

SWEEP = 100
OUTCOME = "ATTEMPT_OUTCOME_"


@dataclass(frozen=True)
class Lease:
    """The right to work on a job until it expires. `token` is the fencing token."""

    id: str
    job_id: str
    token: int
    node_id: str


class Leases:
    """Grants, renews and ends leases, in the caller's transaction."""

    def __init__(self, outbox: Outbox, clock: Clock, ttl: float, time_limit: float) -> None:
        self._outbox = outbox
        self._clock = clock
        self._ttl = timedelta(seconds=ttl)
        # The node ends an overlong attempt itself; a lease that outlives even that is not renewed.
        self._longest = timedelta(seconds=time_limit + 2 * ttl)

    async def grant(self, session: AsyncSession, job: Job) -> Lease:
        """Lease the job to its node; a second valid lease of a job is refused by the database."""
        lease = Lease(new_id("lease"), job.id, job.attempt, job.node_id)
        now = func.clock_timestamp()
        await session.execute(
            insert(leases).values(vars(lease) | {"expires_at": now + self._ttl, "ends_at": now + self._longest})
        )
        await session.execute(
            insert(attempts).values(
                job_id=job.id,
                attempt=job.attempt,
                lease_id=lease.id,
                node_id=job.node_id,
                model=job.model,
                backend=job.backend,
            )
        )
        return lease

    async def find(self, session: AsyncSession, lease_id: str, token: int, node_id: str) -> Lease | None:
        """The lease if it is valid and is this node's with this token."""
        own = (leases.c.id == lease_id, leases.c.token == token, leases.c.node_id == node_id)
        row = (
            await session.execute(select(leases).where(*own, leases.c.expires_at > func.clock_timestamp()))
        ).first()
        return None if row is None else Lease(row.id, row.job_id, row.token, row.node_id)

    async def renew(self, session: AsyncSession, node_id: str, held: dict[str, int]) -> dict[str, bool]:
        """Extend the held leases (id → token) of a node; returns those still valid: id → cancel requested."""
        now = func.clock_timestamp()
        result = await session.execute(
            update(leases)
            .where(
                leases.c.id.in_(held),
                leases.c.node_id == node_id,
                leases.c.expires_at > now,
                leases.c.job_id == jobs.c.id,
            )
            .values(expires_at=func.least(now + self._ttl, leases.c.ends_at))
            .returning(leases.c.id, leases.c.token, jobs.c.cancel_requested)
        )
        return {row.id: row.cancel_requested for row in result if held[row.id] == row.token}

    async def finished_with(self, session: AsyncSession, lease_id: str, node_id: str) -> bool:
        """True when this lease's own report ended its attempt: a repeated report is no news."""
        reported = select(attempts.c.job_id).where(
            attempts.c.lease_id == lease_id,
            attempts.c.node_id == node_id,
            attempts.c.outcome.in_(("SUCCEEDED", "FAILED", "CANCELLED")),
        )
        return (await session.execute(reported)).first() is not None

    async def of_node(self, session: AsyncSession, node_id: str) -> list[Lease]:
        rows = await session.execute(select(leases).where(leases.c.node_id == node_id))
        return [Lease(row.id, row.job_id, row.token, row.node_id) for row in rows]

    async def of_job(self, session: AsyncSession, job_id: str) -> Lease | None:
        row = (await session.execute(select(leases).where(leases.c.job_id == job_id))).first()
        return None if row is None else Lease(row.id, row.job_id, row.token, row.node_id)

    async def expired(self, session: AsyncSession) -> list[Lease]:
        """Leases past their time, at most SWEEP."""
        late = select(leases).where(leases.c.expires_at <= func.clock_timestamp()).limit(SWEEP)
        return [Lease(row.id, row.job_id, row.token, row.node_id) for row in await session.execute(late)]

    async def end(
        self,
        session: AsyncSession,
        lease: Lease,
        job: Job,
        outcome: AttemptOutcome.ValueType,
        reason: Reason,
        detail: str,
        measurements: Measurements | None = None,
        only_expired: bool = False,
    ) -> bool:
        """Take the lease back and close its attempt.

        False when someone else already did, or, with `only_expired`, when a heartbeat saved it meanwhile.
        """
        now = func.clock_timestamp()
        taken = delete(leases).where(leases.c.id == lease.id).returning(leases.c.id)
        if only_expired:
            taken = taken.where(leases.c.expires_at <= now)
        if (await session.execute(taken)).first() is None:
            return False
        await session.execute(
            update(attempts)
            .where(attempts.c.lease_id == lease.id)
            .values(
                outcome=AttemptOutcome.Name(outcome).removeprefix(OUTCOME),
                reason=reason,
                detail=detail,
                measurements=measurements.SerializeToString() if measurements else None,
                finished_at=now,
                seconds=extract("epoch", now - attempts.c.started_at),
            )
        )
        event = AttemptFinished(
            job_id=job.id,
            user_id=job.user_id,
            attempt=lease.token,
            outcome=outcome,
            reason=reason.to_proto(),
            node_id=lease.node_id,
            backend=job.backend,
            measurements=measurements,
            occurred_at=timestamp(self._clock.now()),
        )
        await self._outbox.add(session, event, job.id)
        return True
