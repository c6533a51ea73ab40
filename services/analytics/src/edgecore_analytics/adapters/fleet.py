"""Pools and nodes as their newest events show them; an older event changes nothing."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Table, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.scheduler.v1.events_pb2 import NodeState, NodeStateChanged, PoolSnapshot
from edgecore_analytics.adapters.tables import nodes, pools
from edgecore_analytics.domain.job import moment

FRESH = timedelta(minutes=10)
"""A pool that nobody has described for so long is not shown: snapshots come at least once a minute."""
MEMORY = timedelta(days=1)
"""How long nodes that are gone, and pools that nobody describes, are kept."""


@dataclass(frozen=True)
class Fleet:
    """`nodes` counts by (pool, state), state as in `READY`; `pools` are rows of the table."""

    pools: list[Row[Any]]
    nodes: dict[tuple[str, str], int]


async def show_pool(session: AsyncSession, event: PoolSnapshot) -> None:
    """Raises ValueError for a snapshot without its time."""
    pool = event.pool
    values = {
        "pool": pool.pool,
        "backend": pool.backend,
        "queued": pool.queued,
        "queued_seconds": pool.queued_seconds,
        "running": pool.running,
        "capacity": pool.capacity,
        "occurred_at": moment(event.occurred_at),
    }
    await _newest(session, pools, values)


async def show_node(session: AsyncSession, event: NodeStateChanged) -> None:
    """Raises ValueError for a state that this version does not know."""
    values = {
        "node_id": event.node_id,
        "pool": event.pool,
        "state": NodeState.Name(event.state).removeprefix("NODE_STATE_"),
        "occurred_at": moment(event.occurred_at),
    }
    await _newest(session, nodes, values)


async def now(session: AsyncSession) -> Fleet:
    """The pools described lately, and how many nodes are in each state; gone ones are forgotten after a while."""
    fresh = select(pools).where(pools.c.occurred_at > func.clock_timestamp() - FRESH)
    counted = select(nodes.c.pool, nodes.c.state, func.count()).group_by(nodes.c.pool, nodes.c.state)
    found = list(await session.execute(fresh))
    return Fleet(found, {(pool, state): count for pool, state, count in await session.execute(counted)})


async def prune(session: AsyncSession) -> None:
    """Forget nodes that have been gone, and pools that have been silent, for MEMORY."""
    old = func.clock_timestamp() - MEMORY
    await session.execute(delete(nodes).where(nodes.c.state == "GONE", nodes.c.occurred_at < old))
    await session.execute(delete(pools).where(pools.c.occurred_at < old))


async def _newest(session: AsyncSession, table: Table, values: dict[str, Any]) -> None:
    added = upsert(table).values(values)
    newer = added.excluded.occurred_at > table.c.occurred_at
    key = [column.name for column in table.primary_key]
    await session.execute(added.on_conflict_do_update(index_elements=key, set_=values, where=newer))
