"""Reservations: money set aside for jobs that are not over."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_cost.adapters.tables import jobs, ledger, reservations
from edgecore_cost.domain.quotes import Decision, Quote, State

SETTLED, EXPIRED = "settled", "expired"
RETENTION = timedelta(days=90)
"""How long an answer is kept after it holds nothing any more: longer than its command can come again."""

_OPEN = (reservations.c.closed.is_(None), reservations.c.state == State.SECURED)


@dataclass(frozen=True)
class Reservation:
    """`closed` is "settled" when the job is over, "expired" when nobody saw the job; None while it holds money."""

    job_id: str
    user_id: str
    decision: Decision
    closed: str | None


async def get(session: AsyncSession, job_id: str) -> Reservation | None:
    row = (await session.execute(select(reservations).where(reservations.c.job_id == job_id))).one_or_none()
    return _reservation(row) if row else None


async def add(session: AsyncSession, reservation: Reservation) -> None:
    decision = reservation.decision
    row = {
        "job_id": reservation.job_id,
        "user_id": reservation.user_id,
        "state": decision.state,
        "estimate": decision.estimate,
        "amount": decision.amount,
        "quotes": [[one.backend, one.expected, one.upper] for one in decision.quotes],
        "detail": decision.detail,
        "closed": reservation.closed,
    }
    await session.execute(insert(reservations), row)


async def held(session: AsyncSession, user_id: str) -> int:
    """Micros that the user's open reservations hold beyond what their jobs have been billed already."""
    billed = (
        select(func.coalesce(func.sum(ledger.c.amount), 0))
        .where(ledger.c.job_id == reservations.c.job_id)
        .scalar_subquery()
    )
    rest = func.greatest(reservations.c.amount - billed, 0)
    total = select(func.coalesce(func.sum(rest), 0)).where(reservations.c.user_id == user_id, *_OPEN)
    return int((await session.execute(total)).scalar_one())


async def settle(session: AsyncSession, job_id: str) -> None:
    """The job is over: what is left of its reservation is free again."""
    await session.execute(update(reservations).where(reservations.c.job_id == job_id).values(closed=SETTLED))


async def keep(session: AsyncSession, job_id: str) -> None:
    """Somebody asked about the job: the reservation's age begins anew, and one that had expired holds again.

    The row is changed even when it was open, so that an `expire` at the same time looks at it again.
    """
    unsettled = (reservations.c.job_id == job_id, func.coalesce(reservations.c.closed, "") != SETTLED)
    kept = {"closed": None, "created_at": func.clock_timestamp()}
    await session.execute(update(reservations).where(*unsettled).values(**kept))


async def expire(session: AsyncSession, age: timedelta) -> int:
    """Release reservations older than `age` whose job nobody saw, and forget very old ones; how many expired."""
    orphan = ~exists().where(jobs.c.id == reservations.c.job_id)
    old = reservations.c.created_at < func.clock_timestamp() - age
    result = await session.execute(update(reservations).where(*_OPEN, orphan, old).values(closed=EXPIRED))
    holds_nothing = or_(reservations.c.closed.is_not(None), reservations.c.state == State.DECLINED)
    very_old = reservations.c.created_at < func.clock_timestamp() - RETENTION
    await session.execute(delete(reservations).where(holds_nothing, very_old))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _reservation(row: Row[Any]) -> Reservation:
    quotes = tuple(Quote(backend, expected, upper) for backend, expected, upper in row.quotes)
    decision = Decision(State(row.state), row.estimate, row.amount, quotes, row.detail)
    return Reservation(row.job_id, row.user_id, decision, row.closed)
