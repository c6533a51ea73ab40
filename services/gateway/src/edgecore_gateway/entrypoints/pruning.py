"""Forgetting what is no longer needed, so that no table grows without a bound."""

import asyncio
from datetime import timedelta

from sqlalchemy import delete, func

from edgecore_gateway.adapters.tables import idempotency
from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient
from edgecore_runtime.outbox import Inbox

EVERY_SECONDS = 3600.0
INBOX_RETENTION = timedelta(days=31)
"""Longer than any event can come again: the longest outbox retention is 30 days."""
IDEMPOTENCY_RETENTION = timedelta(days=7)

log = logs.get(__name__)


async def prune_forever(database: Database, inbox: Inbox) -> None:
    """Prune now and every hour; a database that is away is tried again next time."""
    while True:
        try:
            await prune(database, inbox)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("pruning waits for the database", error=repr(error))
        await asyncio.sleep(EVERY_SECONDS)


async def prune(database: Database, inbox: Inbox) -> None:
    async with database.transaction() as session:
        await inbox.prune(session, INBOX_RETENTION)
        old = idempotency.c.created_at < func.clock_timestamp() - IDEMPOTENCY_RETENTION
        await session.execute(delete(idempotency).where(old))
