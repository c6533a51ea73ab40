"""Releases reservations whose job never came, and forgets what is old."""

import asyncio
from datetime import timedelta

from edgecore_cost.accounting import Accounting
from edgecore_cost.adapters import jobs
from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient

INTERVAL_SECONDS = 30.0

log = logs.get(__name__)


class Orphans:
    """Looks now and then for reservations older than `age_seconds` without a job."""

    def __init__(self, database: Database, accounting: Accounting, age_seconds: float) -> None:
        self._database = database
        self._accounting = accounting
        self._age = timedelta(seconds=age_seconds)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.release()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("releasing orphans waits for the database", error=repr(error))
            await asyncio.sleep(min(INTERVAL_SECONDS, self._age.total_seconds()))

    async def release(self) -> int:
        """How many reservations were released."""
        async with self._database.transaction() as session:
            count = await self._accounting.expire(session, self._age)
        async with self._database.transaction() as session:
            await jobs.prune(session)
        if count:
            log.info("reservations without a job released", count=count)
        return count
