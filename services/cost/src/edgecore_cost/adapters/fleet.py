"""Pools and nodes as the scheduler last reported them."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.scheduler.v1.events_pb2 import NODE_STATE_READY, NodeStateChanged
from edgecore.scheduler.v1.scheduler_pb2 import Pool as PoolMessage
from edgecore_cost.adapters.tables import nodes, pools
from edgecore_cost.domain.fleet import Fleet, Pool


async def note_pool(session: AsyncSession, pool: PoolMessage, when: datetime) -> None:
    """Keep the snapshot unless a newer one is there."""
    values = {
        "backend": pool.backend,
        "queued": pool.queued,
        "queued_seconds": pool.queued_seconds,
        "running": pool.running,
        "nodes_ready": pool.nodes_ready,
        "capacity": pool.capacity,
        "occurred_at": when,
    }
    statement = upsert(pools).values(pool=pool.pool, **values)
    newer = pools.c.occurred_at < statement.excluded.occurred_at
    await session.execute(statement.on_conflict_do_update(index_elements=["pool"], set_=values, where=newer))


async def note_node(session: AsyncSession, node: NodeStateChanged, when: datetime) -> None:
    """Keep the node's state unless a newer one is there."""
    values = {
        "backend": node.backend,
        "device": node.device,
        "ready": node.state == NODE_STATE_READY,
        "occurred_at": when,
    }
    statement = upsert(nodes).values(node_id=node.node_id, **values)
    newer = nodes.c.occurred_at < statement.excluded.occurred_at
    await session.execute(statement.on_conflict_do_update(index_elements=["node_id"], set_=values, where=newer))


async def fleet(session: AsyncSession) -> Fleet:
    """Everything that is known."""
    found = [
        Pool(row.backend, row.queued_seconds, row.running, row.nodes_ready, row.capacity)
        for row in await session.execute(select(pools))
    ]
    devices: dict[str, tuple[str, ...]] = {}
    ready = select(nodes.c.backend, nodes.c.device).where(nodes.c.ready).distinct()
    for row in await session.execute(ready.order_by(nodes.c.device)):
        devices[row.backend] = (*devices.get(row.backend, ()), row.device)
    return Fleet(tuple(found), devices)
