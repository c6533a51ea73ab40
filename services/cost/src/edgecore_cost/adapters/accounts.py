"""Users' budgets and what they have spent of them. Whoever changes a user's money locks the account first."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_cost.adapters.tables import accounts, spending


@dataclass(frozen=True)
class Account:
    """`monthly` is in micros when the user has a limit of its own; None in it is unlimited."""

    user_id: str
    own_limit: bool
    monthly: int | None

    def limit(self, default: int | None) -> int | None:
        return self.monthly if self.own_limit else default


async def lock(session: AsyncSession, user_id: str) -> Account:
    """The account, made if need be, held until the transaction ends."""
    await session.execute(upsert(accounts).values(user_id=user_id).on_conflict_do_nothing())
    row = (await session.execute(select(accounts).where(accounts.c.user_id == user_id).with_for_update())).one()
    return Account(row.user_id, row.own_limit, row.monthly)


async def peek(session: AsyncSession, user_id: str) -> Account:
    """The account for reading alone."""
    row = (await session.execute(select(accounts).where(accounts.c.user_id == user_id))).one_or_none()
    return Account(user_id, row.own_limit, row.monthly) if row else Account(user_id, False, None)


async def put_limit(session: AsyncSession, user_id: str, monthly: int | None) -> None:
    """Set the user's own limit; None is unlimited."""
    values = {"own_limit": True, "monthly": monthly}
    statement = upsert(accounts).values(user_id=user_id, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=values))
    # Under another limit the user is told anew when it is reached.
    await session.execute(update(spending).where(spending.c.user_id == user_id).values(exhausted_at=None))


async def spend(session: AsyncSession, user_id: str, period: datetime, amount: int) -> None:
    """Add to what the user spent in the month that begins at `period`."""
    statement = upsert(spending).values(user_id=user_id, period=period, spent=amount)
    more = {"spent": spending.c.spent + statement.excluded.spent}
    await session.execute(statement.on_conflict_do_update(index_elements=["user_id", "period"], set_=more))


async def spent(session: AsyncSession, user_id: str, period: datetime) -> int:
    found = select(spending.c.spent).where(spending.c.user_id == user_id, spending.c.period == period)
    return (await session.execute(found)).scalar_one_or_none() or 0


async def first_exhausted(session: AsyncSession, user_id: str, period: datetime) -> bool:
    """Note that the month's budget is used up; True the first time."""
    await spend(session, user_id, period, 0)
    noted = (
        update(spending)
        .where(spending.c.user_id == user_id, spending.c.period == period, text("exhausted_at IS NULL"))
        .values(exhausted_at=func.clock_timestamp())
        .returning(spending.c.user_id)
    )
    return (await session.execute(noted)).scalar_one_or_none() is not None
