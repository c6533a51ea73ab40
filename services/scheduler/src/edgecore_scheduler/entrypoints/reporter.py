"""Tells pool-events how pools and nodes are doing: compares what was told with what is, and says the difference.

Nothing else publishes there, so a crash at any moment leaves only a difference to be found.
"""

import asyncio

from edgecore.scheduler.v1.events_pb2 import NodeState, NodeStateChanged, PoolSnapshot
from edgecore_contracts.cloudevents import timestamp
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database, is_transient
from edgecore_runtime.outbox import Outbox
from edgecore_scheduler.adapters.node_records import NodeRecords
from edgecore_scheduler.domain.nodes import Connection, Nodes
from edgecore_scheduler.domain.pools import PoolStanding
from edgecore_scheduler.entrypoints import messages
from edgecore_scheduler.entrypoints.standings import Standings

INTERVAL_SECONDS = 2.0
AT_LEAST_SECONDS = 60.0
"""How often a pool is told of that does not change."""

READY, DRAINING, DRAINED, GONE = "READY", "DRAINING", "DRAINED", "GONE"

log = logs.get(__name__)


class Reporter:
    """`grace` is seconds after the start in which nodes may come back before they are called gone."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        clock: Clock,
        records: NodeRecords,
        standings: Standings,
        nodes: Nodes,
        grace: float,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._records = records
        self._standings = standings
        self._nodes = nodes
        self._gone_from = clock.monotonic() + grace
        self._told: dict[tuple[str, str], tuple[float, PoolStanding]] = {}

    async def run(self) -> None:
        """Report until cancelled; a database that is away is waited for."""
        while True:
            try:
                await self._report()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("reports wait for the database", error=repr(error))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _report(self) -> None:
        async with self._database.reading() as session:
            known = await self._records.all(session)
            told = await self._records.told(session)
            pools = await self._standings.pools(session, known)
        states = {one.node_id: state for one in known if (state := self._state(one.node_id))}
        changed = [one for one in known if states.get(one.node_id, told[one.node_id]) != told[one.node_id]]
        now = self._clock.monotonic()
        due = [pool for pool in pools if self._is_due(pool, now)]
        if not (changed or due):
            return
        async with self._database.transaction() as session:
            for node in changed:
                await self._outbox.add(session, self._node_event(node, states[node.node_id]), node.pool)
                await self._records.tell(session, node.node_id, states[node.node_id])
            for pool in due:
                at = timestamp(self._clock.now())
                await self._outbox.add(session, PoolSnapshot(pool=messages.pool(pool), occurred_at=at), pool.pool)
        self._told |= {(pool.pool, pool.backend): (now, pool) for pool in due}

    def _is_due(self, pool: PoolStanding, now: float) -> bool:
        at, before = self._told.get((pool.pool, pool.backend), (now, None))
        return pool != before or now - at >= AT_LEAST_SECONDS - INTERVAL_SECONDS

    def _state(self, node_id: str) -> str | None:
        """What a node is now; None while a scheduler that has just started cannot know."""
        connection = self._nodes.get(node_id)
        if connection is None:
            return GONE if self._clock.monotonic() >= self._gone_from else None
        if not connection.draining:
            return READY
        return DRAINING if connection.running else DRAINED

    def _node_event(self, node: Connection, state: str) -> NodeStateChanged:
        return NodeStateChanged(
            node_id=node.node_id,
            pool=node.pool,
            backend=node.backend,
            device=node.device,
            state=NodeState.Value(f"NODE_STATE_{state}"),
            occurred_at=timestamp(self._clock.now()),
        )
