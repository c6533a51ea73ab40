"""Price rows. What was once valid stays: rows are added, never changed."""

from collections.abc import Iterable

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_cost.adapters import tables
from edgecore_cost.domain.prices import Kind, Price, PriceBook, Unit


async def seed(session: AsyncSession, prices: Iterable[Price]) -> None:
    """Add those whose id is not there yet."""
    rows = [vars(one) for one in prices]
    await session.execute(upsert(tables.prices).on_conflict_do_nothing(), rows)


async def add(session: AsyncSession, price: Price) -> None:
    await session.execute(insert(tables.prices), vars(price))


async def book(session: AsyncSession) -> PriceBook:
    """Every row there is: some dozens."""
    rows = await session.execute(select(tables.prices))
    return PriceBook(
        Price(
            row.id, Kind(row.kind), row.backend, row.model, Unit(row.unit), row.micros, row.valid_from, row.source
        )
        for row in rows
    )
