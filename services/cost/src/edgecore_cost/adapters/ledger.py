"""The ledger: one line per (job, attempt, kind), which PostgreSQL's unique key guarantees."""

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_cost.adapters import accounts
from edgecore_cost.adapters.tables import ledger
from edgecore_cost.domain.billing import Line, period_of


async def post(session: AsyncSession, line: Line) -> bool:
    """Write the line and count it as spent; False when there was one already, which stays as it is."""
    written = upsert(ledger).values(**vars(line)).on_conflict_do_nothing().returning(ledger.c.job_id)
    if (await session.execute(written)).scalar_one_or_none() is None:
        return False
    await accounts.spend(session, line.user_id, period_of(line.occurred_at), line.amount)
    return True
