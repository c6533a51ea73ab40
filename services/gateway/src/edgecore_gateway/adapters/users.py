"""Accounts in PostgreSQL."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_contracts.errors import Conflict
from edgecore_gateway.adapters.tables import users
from edgecore_gateway.domain.accounts import User
from edgecore_gateway.domain.principal import Role

UNIQUE_VIOLATION = "23505"


async def find(session: AsyncSession, user_id: str) -> User | None:
    return _user((await session.execute(select(users).where(users.c.id == user_id))).one_or_none())


async def find_by_email(session: AsyncSession, email: str) -> User | None:
    """`email` as normal_email makes it."""
    return _user((await session.execute(select(users).where(users.c.email == email))).one_or_none())


async def page(session: AsyncSession, after: str | None, limit: int) -> list[User]:
    """Accounts by descending id, which is newest first."""
    query = select(users).order_by(users.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(users.c.id < after)
    return [user for row in (await session.execute(query)).all() if (user := _user(row)) is not None]


async def add(session: AsyncSession, user_id: str, **values: Any) -> User:
    """Make an account. Raises Conflict when the email is taken."""
    return await _unique_email(session, insert(users).values(id=user_id, **values).returning(users))


async def add_missing(session: AsyncSession, user_id: str, **values: Any) -> None:
    """Make the account unless one with this id, or this email, exists."""
    await session.execute(upsert(users).values(id=user_id, **values).on_conflict_do_nothing())


async def change(session: AsyncSession, user_id: str, **values: Any) -> User:
    """Change an account that exists. Raises Conflict when the email is taken."""
    return await _unique_email(
        session, update(users).where(users.c.id == user_id).values(**values).returning(users)
    )


async def lock(session: AsyncSession, user_id: str) -> User | None:
    """The account, which nobody else changes until this transaction ends."""
    query = select(users).where(users.c.id == user_id).with_for_update()
    return _user((await session.execute(query)).one_or_none())


def disabling(disabled: bool, current: User) -> Any:
    """The value of `disabled_at`: a repeated wish keeps the first time."""
    if not disabled:
        return None
    return current.disabled_at or func.clock_timestamp()


async def _unique_email(session: AsyncSession, statement: Any) -> User:
    try:
        user = _user((await session.execute(statement)).one())
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) == UNIQUE_VIOLATION:
            raise Conflict("another user has this email") from error
        raise
    assert user is not None
    return user


def _user(row: Row[Any] | None) -> User | None:
    if row is None:
        return None
    created: datetime = row.created_at
    return User(row.id, row.name, row.email, Role(row.role), created, row.disabled_at, row.password_hash)
