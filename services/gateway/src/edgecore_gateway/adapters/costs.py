"""What jobs cost, as cost's events say; applied in any order and any number of times they end the same."""

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.jobs import UnknownJob
from edgecore_gateway.adapters.tables import job_costs, jobs
from edgecore_gateway.domain.costs import CostLine, ReservationChange


async def apply_line(session: AsyncSession, line: CostLine) -> None:
    """Keep the line, once, and add it to what the job costs. Raises UnknownJob."""
    changed = (
        update(jobs)
        .where(jobs.c.id == line.job_id)
        .values(cost_actual=func.coalesce(jobs.c.cost_actual, 0) + line.amount)
        .returning(jobs.c.id)
    )
    # The job's row is locked first: whoever handles another line of the same job waits here.
    found = select(jobs.c.id).where(jobs.c.id == line.job_id).with_for_update()
    if (await session.execute(found)).scalar_one_or_none() is None:
        raise UnknownJob(f"the gateway has no job {line.job_id!r}")
    written = upsert(job_costs).values(**vars(line)).on_conflict_do_nothing().returning(job_costs.c.job_id)
    if (await session.execute(written)).scalar_one_or_none() is not None:
        await session.execute(changed)


async def apply_reservation(session: AsyncSession, change: ReservationChange) -> None:
    """Show what was decided. Raises UnknownJob."""
    estimate = jobs.c.cost_estimated if change.estimate is None else change.estimate
    decided = (
        update(jobs)
        .where(jobs.c.id == change.job_id)
        .values(reservation=change.state, cost_estimated=estimate)
        .returning(jobs.c.id)
    )
    if (await session.execute(decided)).scalar_one_or_none() is None:
        raise UnknownJob(f"the gateway has no job {change.job_id!r}")


async def lines_of(session: AsyncSession, job_id: str) -> list[CostLine]:
    """The job's lines by attempt and kind."""
    query = select(job_costs).where(job_costs.c.job_id == job_id).order_by(job_costs.c.attempt, job_costs.c.kind)
    return [CostLine(**row._mapping) for row in await session.execute(query)]
