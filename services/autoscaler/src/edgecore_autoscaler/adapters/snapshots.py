"""The last that each pool told of itself."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.scheduler.v1.scheduler_pb2 import Pool
from edgecore_autoscaler.adapters.tables import snapshots
from edgecore_autoscaler.domain.pool import Load


def load_of(pool: Pool, seconds_per_job: float, seen_at: datetime) -> Load:
    """The scheduler's view of a pool; `seconds_per_job` where its queue is empty and so tells none."""
    return Load(
        queued=pool.queued,
        queued_seconds=pool.queued_seconds,
        running=pool.running,
        ready=pool.nodes_ready,
        slots=_slots(pool),
        seconds_per_job=pool.queued_seconds / pool.queued if pool.queued else seconds_per_job,
        seen_at=seen_at,
    )


class Snapshots:
    """Every method works in the caller's transaction."""

    async def save(self, session: AsyncSession, pool: Pool, occurred_at: datetime) -> None:
        """Keep it, unless a newer one is kept already."""
        row = upsert(snapshots).values(
            pool=pool.pool,
            backend=pool.backend,
            queued=pool.queued,
            queued_seconds=pool.queued_seconds,
            running=pool.running,
            nodes_ready=pool.nodes_ready,
            nodes_draining=pool.nodes_draining,
            slots=_slots(pool),
            seconds_per_job=pool.queued_seconds / pool.queued if pool.queued else None,
            occurred_at=occurred_at,
        )
        new: dict[str, Any] = {column.name: column for column in row.excluded if column.name != "pool"}
        # An empty queue tells nothing of how long a job takes; what was known stays.
        new["seconds_per_job"] = func.coalesce(row.excluded.seconds_per_job, snapshots.c.seconds_per_job)
        newer = snapshots.c.occurred_at < row.excluded.occurred_at
        await session.execute(row.on_conflict_do_update(index_elements=[snapshots.c.pool], set_=new, where=newer))

    async def get(self, session: AsyncSession, pool: str, assumed_seconds: float) -> Load | None:
        """The pool's load; None when nothing was ever heard of it."""
        row = (await session.execute(select(snapshots).where(snapshots.c.pool == pool))).one_or_none()
        if row is None:
            return None
        return Load(
            queued=row.queued,
            queued_seconds=row.queued_seconds,
            running=row.running,
            ready=row.nodes_ready,
            slots=row.slots,
            seconds_per_job=assumed_seconds if row.seconds_per_job is None else row.seconds_per_job,
            seen_at=row.occurred_at,
        )

    async def seconds_per_job(self, session: AsyncSession, backend: str) -> float | None:
        """What a job takes on the backend's pools, on average; None before any has told."""
        mean = select(func.avg(snapshots.c.seconds_per_job)).where(snapshots.c.backend == backend)
        return (await session.execute(mean)).scalar_one_or_none()


def _slots(pool: Pool) -> int:
    return max(1, round(pool.capacity / pool.nodes_ready)) if pool.nodes_ready else 1
