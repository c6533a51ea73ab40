"""What happens by the clock: gauges are read anew, and what is past the retention is forgotten."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from edgecore_analytics.adapters import fleet, jobs
from edgecore_analytics.entrypoints import metrics
from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient

PRUNE_SECONDS = 3600.0

log = logs.get(__name__)


async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` now and every `seconds`; a database that is away is tried again next time."""
    while True:
        try:
            await work()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("waiting for the database", error=repr(error))
        await asyncio.sleep(seconds)


async def show_gauges(database: Database) -> None:
    async with database.reading() as session:
        states = await jobs.count_open(session)
        found = await fleet.now(session)
    metrics.show(states, found)


async def prune(database: Database, retention: timedelta) -> None:
    """Forget in small transactions, so that events never wait for long."""
    async with database.transaction() as session:
        await fleet.prune(session)
    while True:
        async with database.transaction() as session:
            gone = await jobs.prune(session, retention)
        if gone == 0:
            return
        log.info("forgot jobs past the retention", jobs=gone)
