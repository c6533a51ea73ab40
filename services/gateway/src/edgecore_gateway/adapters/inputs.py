"""The lifetime of what callers give jobs to work with: uploads and adapters, rows with a file each.

A row is written before its file and deleted after it, so that no file is ever without one. What expires is gone
for callers at once; row and file go a little later, and not before the last job that works with them has ended.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, delete, exists, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.jobs import TERMINAL
from edgecore_gateway.adapters.tables import job_inputs, jobs
from edgecore_runtime.database import Database
from edgecore_runtime.objects import ObjectStore

GRACE = timedelta(minutes=10)
"""Longer than any request: none finds a row that is deleted before its job is stored."""


async def note_use(session: AsyncSession, job_id: str, input_ids: Sequence[str]) -> None:
    """A job that is being stored works with these."""
    if input_ids:
        await session.execute(insert(job_inputs), [{"input_id": one, "job_id": job_id} for one in input_ids])


async def used_up(session: AsyncSession, table: Table, now: datetime, most: int) -> list[Any]:
    """At most `most` rows that expired a while ago, and that no living job works with."""
    in_use = exists().where(
        job_inputs.c.input_id == table.c.id, jobs.c.id == job_inputs.c.job_id, jobs.c.state.not_in(TERMINAL)
    )
    query = select(table).where(table.c.expires_at < now - GRACE, ~in_use).limit(most)
    return list((await session.execute(query)).all())


async def remove(database: Database, store: ObjectStore, table: Table, input_id: str, key: str) -> None:
    """Delete the file, then its row. Raises StorageFailed, and then the row stays."""
    await store.delete(key)
    async with database.transaction() as session:
        await session.execute(delete(table).where(table.c.id == input_id))
        await session.execute(delete(job_inputs).where(job_inputs.c.input_id == input_id))
