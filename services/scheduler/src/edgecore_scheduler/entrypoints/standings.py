"""How the pools are doing now: rows and open streams together."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_scheduler.adapters.jobs import Jobs
from edgecore_scheduler.domain.fleet import Fleet
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.domain.pools import PoolStanding, pools


class Standings:
    def __init__(self, jobs: Jobs, fleet: Fleet) -> None:
        self._jobs = jobs
        self._fleet = fleet

    async def pools(self, session: AsyncSession, known: Iterable[Connection]) -> list[PoolStanding]:
        """Every pool; `known` are the nodes that ever registered."""
        waiting = await self._jobs.waiting(session)
        seconds = {kind: await self._jobs.recent_seconds(session, *kind) or 0.0 for kind in waiting}
        return pools(known, self._fleet.nodes, waiting, seconds, frozenset(self._fleet.breakers))
