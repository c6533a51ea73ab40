"""What is known of jobs, whichever event came first, and what their attempts measured."""

from datetime import datetime, timedelta

from sqlalchemy import Subquery, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore_cost.adapters.tables import jobs, measured
from edgecore_cost.domain.predictor import Measurement
from edgecore_cost.domain.work import work_of

RETENTION = timedelta(days=90)
KINDS_MOST = 20
"""Windows of how many kinds of (model, device) are looked through, so that the query stays bounded."""
NOT_STORED = ("prompt", "negative_prompt", "image", "adapters")
"""What a price does not depend on, and nobody here needs to read."""


async def remember(session: AsyncSession, job_id: str, spec: GenerationSpec) -> None:
    """Keep what the job is to make."""
    kept = GenerationSpec()
    kept.CopyFrom(spec)
    for field in NOT_STORED:
        kept.ClearField(field)  # type: ignore[arg-type]
    values = {"model": spec.model, "spec": kept.SerializeToString()}
    statement = upsert(jobs).values(id=job_id, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


async def end(session: AsyncSession, job_id: str, when: datetime) -> None:
    statement = upsert(jobs).values(id=job_id, ended_at=when)
    await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"ended_at": when}))


async def is_over(session: AsyncSession, job_id: str) -> bool:
    found = select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.ended_at.is_not(None))
    return (await session.execute(found)).scalar_one_or_none() is not None


async def spec_of(session: AsyncSession, job_id: str) -> GenerationSpec | None:
    found = (await session.execute(select(jobs.c.spec).where(jobs.c.id == job_id))).scalar_one_or_none()
    return GenerationSpec.FromString(found) if found is not None else None


async def measure(
    session: AsyncSession, job_id: str, attempt: int, device: str, seconds: float, when: datetime
) -> None:
    """Keep what an attempt took, once."""
    row = {"job_id": job_id, "attempt": attempt, "device": device, "seconds": seconds, "occurred_at": when}
    await session.execute(upsert(measured).values(**row).on_conflict_do_nothing())


async def measurements(session: AsyncSession, window: int) -> dict[tuple[str, str], list[Measurement]]:
    """The newest `window` measured attempts of each (model, device), newest first, whose spec is known."""
    recent = _recent(window)
    newest = func.row_number().over(
        partition_by=(jobs.c.model, recent.c.device),
        order_by=(recent.c.occurred_at.desc(), recent.c.job_id, recent.c.attempt),
    )
    ranked = (
        select(jobs.c.model, jobs.c.spec, recent.c.device, recent.c.seconds, newest.label("rank"))
        .join(jobs, jobs.c.id == recent.c.job_id)
        .where(jobs.c.spec.is_not(None))
        .subquery()
    )
    rows = await session.execute(select(ranked).where(ranked.c.rank <= window).order_by(ranked.c.rank))
    found: dict[tuple[str, str], list[Measurement]] = {}
    for row in rows:
        work = work_of(GenerationSpec.FromString(row.spec))
        found.setdefault((row.model, row.device), []).append(Measurement(work, row.seconds))
    return found


async def learnable(session: AsyncSession, window: int) -> tuple[int, datetime | None]:
    """How many attempts there are to learn from, and the newest's end: changes when there is more to learn."""
    recent = _recent(window)
    found = select(func.count(), func.max(recent.c.occurred_at)).select_from(
        recent.join(jobs, jobs.c.id == recent.c.job_id)
    )
    row = (await session.execute(found.where(jobs.c.spec.is_not(None)))).one()
    return row[0], row[1]


def _recent(window: int) -> Subquery:
    return select(measured).order_by(measured.c.occurred_at.desc()).limit(window * KINDS_MOST).subquery()


async def prune(session: AsyncSession) -> None:
    """Forget what no prediction uses any more, and jobs that have been over for long."""
    long_ago = func.clock_timestamp() - RETENTION
    await session.execute(delete(measured).where(measured.c.occurred_at < long_ago))
    await session.execute(delete(jobs).where(jobs.c.ended_at < long_ago))
