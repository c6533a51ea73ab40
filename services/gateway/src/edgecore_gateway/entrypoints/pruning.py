"""Forgetting what is no longer needed, so that no table grows without a bound."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, delete, func

from edgecore_gateway.adapters import audit, inputs, lora_adapters, sessions, uploads
from edgecore_gateway.adapters.tables import idempotency
from edgecore_gateway.adapters.tables import lora_adapters as lora_adapters_table
from edgecore_gateway.adapters.tables import uploads as uploads_table
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database, is_transient
from edgecore_runtime.objects import ObjectStore, StorageFailed

EVERY_SECONDS = 3600.0
IDEMPOTENCY_RETENTION = timedelta(days=7)
FILES_AT_ONCE = 100

log = logs.get(__name__)


async def prune_forever(database: Database, store: ObjectStore, clock: Clock) -> None:
    """Prune now and every hour; a database or a store that is away is tried again next time."""
    while True:
        try:
            await prune(database)
            await prune_files(database, store, clock)
        except StorageFailed as error:
            log.warning("pruning waits for the artifact store", error=str(error))
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


async def prune_files(database: Database, store: ObjectStore, clock: Clock) -> None:
    """Uploads and adapters that expired and that no living job works with. Raises StorageFailed."""
    await _prune_files(database, store, clock, uploads_table, lambda row: uploads.key_of(row.id, row.media_type))
    await _prune_files(database, store, clock, lora_adapters_table, lambda row: lora_adapters.key_of(row.id))


async def _prune_files(
    database: Database, store: ObjectStore, clock: Clock, table: Table, key_of: Callable[[Any], str]
) -> None:
    while True:
        async with database.reading() as session:
            rows = await inputs.used_up(session, table, clock.now(), FILES_AT_ONCE)
        for row in rows:
            await inputs.remove(database, store, table, row.id, key_of(row))
        if len(rows) < FILES_AT_ONCE:
            return
