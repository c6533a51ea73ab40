"""LoRA adapters in PostgreSQL; their files are in the artifact store."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.tables import lora_adapters as table


def key_of(adapter_id: str) -> str:
    """Of its file in the artifact store."""
    return f"adapters/{adapter_id}.safetensors"


async def count(session: AsyncSession, user_id: str) -> int:
    """Of the user's rows, those included that were deleted and whose files are not gone yet."""
    query = select(func.count()).select_from(table).where(table.c.user_id == user_id)
    return int((await session.execute(query)).scalar_one())


async def add(session: AsyncSession, **values: Any) -> None:
    """Store the row before its file: with `expires_at`, so that it goes if nobody says that the file is there."""
    await session.execute(insert(table).values(values))


async def stored(session: AsyncSession, adapter_id: str) -> Any:
    """Its file is there: from now on it stays. Returns the row."""
    kept = update(table).where(table.c.id == adapter_id).values(expires_at=None).returning(table)
    return (await session.execute(kept)).one()


async def page(session: AsyncSession, user_id: str, after: str | None, limit: int) -> list[Any]:
    """At most `limit` of the user's adapters, newest first, beginning after the adapter `after`."""
    query = select(table).where(table.c.user_id == user_id, table.c.expires_at.is_(None))
    if after is not None:
        query = query.where(table.c.id < after)
    return list((await session.execute(query.order_by(table.c.id.desc()).limit(limit))).all())


async def find(session: AsyncSession, adapter_ids: Iterable[str], user_id: str) -> dict[str, Any]:
    """Those of them that the user has, by id."""
    mine = (table.c.id.in_(list(adapter_ids)), table.c.user_id == user_id, table.c.expires_at.is_(None))
    return {row.id: row for row in (await session.execute(select(table).where(*mine))).all()}


async def expire(session: AsyncSession, adapter_id: str, user_id: str, now: datetime) -> bool:
    """False when the user has no such adapter."""
    mine = (table.c.id == adapter_id, table.c.user_id == user_id, table.c.expires_at.is_(None))
    expired = update(table).where(*mine).values(expires_at=now).returning(table.c.id)
    return (await session.execute(expired)).one_or_none() is not None
