"""Who did what, to whom, when, from where, and how it ended. Rows are written in the transaction of the deed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.tables import audit
from edgecore_runtime.ids import new_id

DONE, REFUSED = "done", "refused"
RETENTION = timedelta(days=400)
"""A year, and time to look at it."""


@dataclass(frozen=True)
class Deed:
    """`actor` is a user's id, None when nobody was signed in; `target` the id or email of what it was done to.

    Actions: login, session.reuse, logout, key.create, key.revoke, user.create, user.update, budget.update,
    adapter.create, adapter.delete.
    """

    actor: str | None
    action: str
    target: str
    address: str
    outcome: str = DONE
    detail: Mapping[str, Any] = field(default_factory=dict)


async def record(session: AsyncSession, deed: Deed, now: datetime) -> None:
    await session.execute(
        insert(audit).values(
            id=new_id("aud"),
            actor=deed.actor,
            action=deed.action,
            target=deed.target,
            address=deed.address,
            outcome=deed.outcome,
            detail=dict(deed.detail),
            occurred_at=now,
        )
    )


async def page(
    session: AsyncSession, after: str | None, limit: int, actor: str | None, action: str | None
) -> list[Any]:
    """Rows of the table, newest first."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    for column, value in ((audit.c.actor, actor), (audit.c.action, action)):
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        query = query.where(audit.c.id < after)
    return list((await session.execute(query)).all())


async def prune(session: AsyncSession) -> None:
    await session.execute(delete(audit).where(audit.c.occurred_at < func.clock_timestamp() - RETENTION))
