"""The shipped prices become rows before anything is priced."""

import asyncio

from edgecore_cost.adapters import prices
from edgecore_cost.domain.catalogue import Catalogue
from edgecore_runtime import logs
from edgecore_runtime.backoff import Backoff
from edgecore_runtime.database import Database, is_transient

BACKOFF_SECONDS = (0.1, 2.0)

log = logs.get(__name__)


class Seeding:
    """A component: adds the catalogue file's prices that are not there yet, as soon as the database answers."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._task: asyncio.Task[None] | None = None
        self._seeded = asyncio.Event()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._seed(), name="seeding")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_failed(self) -> None:
        assert self._task is not None
        await asyncio.shield(self._task)
        await asyncio.Event().wait()

    async def check(self) -> str | None:
        """A readiness check: without prices nothing can be priced."""
        return None if self._seeded.is_set() else "the price catalogue is not in the database yet"

    async def done(self) -> None:
        """Return when the prices are there."""
        await self._seeded.wait()

    async def _seed(self) -> None:
        backoff = Backoff(*BACKOFF_SECONDS)
        while True:
            try:
                async with self._database.transaction() as session:
                    await prices.seed(session, self._catalogue.prices)
                self._seeded.set()
                return
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("prices wait for the database", error=repr(error))
                await backoff.pause()
