"""Takes back leases whose node fell silent."""

import asyncio

from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient
from edgecore_scheduler.adapters.leases import Leases
from edgecore_scheduler.domain.nodes import Nodes
from edgecore_scheduler.scheduling import Scheduling

INTERVAL_SECONDS = 0.5

log = logs.get(__name__)


class Sweeper:
    """Looks for expired leases, and takes each back in a transaction of its own."""

    def __init__(self, database: Database, leases: Leases, scheduling: Scheduling, nodes: Nodes) -> None:
        self._database = database
        self._leases = leases
        self._scheduling = scheduling
        self._nodes = nodes

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("sweep waits for the database", error=repr(error))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def sweep(self) -> int:
        """Take back every expired lease; returns how many."""
        async with self._database.reading() as session:
            expired = await self._leases.expired(session)
        count = 0
        for lease in expired:
            async with self._database.transaction() as session:
                count += await self._scheduling.lose(session, lease, "its lease expired", only_expired=True)
            node = self._nodes.get(lease.node_id)
            if node is not None and lease.id in node.running:
                # Its stream is open but it renews nothing: it gets no more work until it registers again.
                node.close()
        return count
