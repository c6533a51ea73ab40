"""What arrived: predicted GPU-seconds per model and minute."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_autoscaler.adapters.tables import demand

ORIGIN = datetime(2000, 1, 3, tzinfo=UTC)
"""A midnight that buckets count from; a Monday, so that weeks of buckets begin alike."""


class Demand:
    """Every method works in the caller's transaction."""

    async def add(self, session: AsyncSession, model: str, arrived_at: datetime, gpu_seconds: float) -> None:
        """One job more in its minute."""
        row = upsert(demand).values(
            model=model, minute=arrived_at.replace(second=0, microsecond=0), jobs=1, gpu_seconds=gpu_seconds
        )
        more = {
            "jobs": demand.c.jobs + row.excluded.jobs,
            "gpu_seconds": demand.c.gpu_seconds + row.excluded.gpu_seconds,
        }
        await session.execute(
            row.on_conflict_do_update(index_elements=[demand.c.model, demand.c.minute], set_=more)
        )

    async def buckets(
        self, session: AsyncSession, model: str, since: datetime, width: timedelta
    ) -> list[tuple[datetime, float]]:
        """(start, GPU-seconds) of each bucket with an arrival, oldest first."""
        start = func.date_bin(width, demand.c.minute, ORIGIN)
        found = await session.execute(
            select(start.label("start"), func.sum(demand.c.gpu_seconds))
            .where(demand.c.model == model, demand.c.minute >= since)
            .group_by("start")
            .order_by("start")
        )
        return [(row[0], float(row[1])) for row in found]

    async def since(self, session: AsyncSession, model: str, since: datetime) -> tuple[int, float]:
        """Jobs and GPU-seconds that arrived from then on."""
        found = await session.execute(
            select(
                func.coalesce(func.sum(demand.c.jobs), 0), func.coalesce(func.sum(demand.c.gpu_seconds), 0.0)
            ).where(demand.c.model == model, demand.c.minute >= since)
        )
        jobs, seconds = found.one()
        return int(jobs), float(seconds)

    async def prune(self, session: AsyncSession, before: datetime) -> None:
        """Forget what is older."""
        await session.execute(delete(demand).where(demand.c.minute < before))
