"""Looks again at waiting jobs whose step in the fallback chain may have changed."""

import asyncio

from edgecore_contracts.models import MODELS
from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient
from edgecore_scheduler.adapters.jobs import Jobs
from edgecore_scheduler.domain.fleet import Fleet
from edgecore_scheduler.scheduling import Scheduling

INTERVAL_SECONDS = 0.5
BATCH = 200
"""Jobs a look; the next look goes on where this one ended, so that those who cannot move hide nobody."""

OWN = frozenset(rules.backend for rules in MODELS.values())

log = logs.get(__name__)


class Fallbacks:
    """Time passes and breakers close without an event that could tell a waiting job."""

    def __init__(
        self, database: Database, jobs: Jobs, scheduling: Scheduling, fleet: Fleet, patience: float
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._scheduling = scheduling
        self._fleet = fleet
        self._patience = patience
        self._position = 0

    async def run(self) -> None:
        """Look until cancelled; a database that is away is waited for."""
        while True:
            self._fleet.observe()
            try:
                await self._look()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("fallbacks wait for the database", error=repr(error))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _look(self) -> None:
        """One batch; only a job that moves, or has news to write down, costs a transaction."""
        absent = self._fleet.absent(self._patience) if self._fleet.breakers else frozenset()
        async with self._database.reading() as session:
            found = await self._jobs.looking_elsewhere(session, OWN, absent, self._position, BATCH)
        self._position = found[-1][0] if len(found) == BATCH else 0
        for _, job in found:
            if self._scheduling.would_move(job):
                async with self._database.transaction() as session:
                    await self._scheduling.look_again(session, job.id)
