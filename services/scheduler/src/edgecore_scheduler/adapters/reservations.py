"""Jobs whose money is not set aside yet: how many a user may have running, and which one is next."""

import zlib

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_contracts.states import JobState
from edgecore_scheduler.adapters.tables import early_reservations, jobs
from edgecore_scheduler.domain.terms import Reservation


class Reservations:
    """An admitted job keeps its place until cost has decided, also when it is over: what it used is owed.

    Every method works in the caller's transaction, and all of them need the user's lock.
    """

    def __init__(self, allowance: int) -> None:
        self._allowance = allowance

    async def lock(self, session: AsyncSession, user_id: str) -> None:
        """Have the user's unsecured jobs admitted one after another, until the transaction ends.

        Taken before any job's row, so that two transactions cannot wait for each other.
        """
        key = zlib.crc32(f"edgecore-unsecured-{user_id}".encode())
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    async def room(self, session: AsyncSession, user_id: str) -> int:
        """How many more unsecured jobs of the user may start."""
        begun = (jobs.c.attempt > 0) | (jobs.c.state == JobState.QUEUED)
        admitted = select(func.count()).where(*_pending(user_id), ~jobs.c.held, begun)
        return self._allowance - int((await session.execute(admitted)).scalar_one())

    async def admit(self, session: AsyncSession, user_id: str) -> None:
        """Let held jobs start, the oldest first, as far as there is room."""
        room = await self.room(session, user_id)
        if room <= 0:
            return
        held = select(jobs.c.id).where(*_pending(user_id), jobs.c.held, jobs.c.state == JobState.QUEUED)
        oldest = held.order_by(jobs.c.position).limit(room)
        await session.execute(update(jobs).where(jobs.c.id.in_(oldest)).values(held=False))

    async def keep(
        self, session: AsyncSession, job_id: str, reservation: Reservation, quotes: dict[str, int]
    ) -> None:
        """Remember a decision on a job whose command has not come."""
        values = {"job_id": job_id, "reservation": reservation, "quotes": quotes}
        await session.execute(upsert(early_reservations).values(values).on_conflict_do_nothing())

    async def kept(self, session: AsyncSession, job_id: str) -> tuple[Reservation, dict[str, int]] | None:
        """The decision that came before its job, once."""
        own = delete(early_reservations).where(early_reservations.c.job_id == job_id)
        columns = early_reservations.c.reservation, early_reservations.c.quotes
        row = (await session.execute(own.returning(*columns))).one_or_none()
        return None if row is None else (Reservation(row.reservation), row.quotes)


def _pending(user_id: str) -> tuple[ColumnElement[bool], ...]:
    return jobs.c.reservation == Reservation.PENDING, jobs.c.user_id == user_id
