"""Forgetting what is no longer needed, so that no table grows without a bound."""

import asyncio
from datetime import timedelta

from sqlalchemy import delete, func

from edgecore_gateway.adapters import audit, sessions
from edgecore_gateway.adapters.tables import idempotency
from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient

EVERY_SECONDS = 3600.0
IDEMPOTENCY_RETENTION = timedelta(days=7)

log = logs.get(__name__)


async def prune_forever(database: Database) -> None:
    """Prune now and every hour; a database that is away is tried again next time."""
    while True:
        try:
            await prune(database)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("pruning waits for the database", error=repr(error))
        await asyncio.sleep(EVERY_SECONDS)


async def prune(database: Database) -> None:
    async with database.transaction() as session:
        old = idempotency.c.created_at < func.clock_timestamp() - IDEMPOTENCY_RETENTION
        await session.execute(delete(idempotency).where(old))
        await sessions.prune(session)
        await audit.prune(session)
