"""Uploaded pictures in PostgreSQL; their files are in the artifact store."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.tables import uploads
from edgecore_gateway.domain.picture import ENDINGS


def key_of(upload_id: str, media_type: str) -> str:
    """Of its file in the artifact store; the ending says what it is."""
    return f"uploads/{upload_id}{ENDINGS[media_type]}"


async def bytes_of(session: AsyncSession, user_id: str) -> int:
    """What the user's pictures take in the store, those included that expired and are not gone yet."""
    total = select(func.coalesce(func.sum(uploads.c.size_bytes), 0)).where(uploads.c.user_id == user_id)
    return int((await session.execute(total)).scalar_one())


async def add(session: AsyncSession, **values: Any) -> Any:
    """Store the row, before its file; returns it."""
    return (await session.execute(insert(uploads).values(values).returning(uploads))).one()


async def get(session: AsyncSession, upload_id: str, user_id: str, now: datetime) -> Any | None:
    """The user's upload; None when there is none, it expired, or it is another user's."""
    query = select(uploads).where(*_mine(upload_id, user_id, now))
    return (await session.execute(query)).one_or_none()


async def expire(session: AsyncSession, upload_id: str, user_id: str, now: datetime) -> bool:
    """False when the user has no such upload."""
    expired = update(uploads).where(*_mine(upload_id, user_id, now)).values(expires_at=now).returning(uploads.c.id)
    return (await session.execute(expired)).one_or_none() is not None


def _mine(upload_id: str, user_id: str, now: datetime) -> tuple[Any, ...]:
    return uploads.c.id == upload_id, uploads.c.user_id == user_id, uploads.c.expires_at > now
