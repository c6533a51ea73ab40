"""What is remembered of a node between its connections: above all, whether it is draining."""

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_scheduler.adapters.tables import nodes
from edgecore_scheduler.domain.nodes import Connection


class NodeRecords:
    """Rows of nodes that registered at least once."""

    async def register(self, session: AsyncSession, connection: Connection) -> None:
        """Remember the node, and tell the connection whether it had been drained."""
        described = {
            "pool": connection.pool,
            "device": connection.device,
            "backend": connection.backend,
            "models": sorted(connection.models),
            "capacity": connection.capacity,
        }
        result = await session.execute(
            upsert(nodes)
            .values(id=connection.node_id, **described)
            .on_conflict_do_update(index_elements=["id"], set_=described | {"seen_at": func.clock_timestamp()})
            .returning(nodes.c.draining)
        )
        connection.draining = result.scalar_one()

    async def set_draining(self, session: AsyncSession, node_id: str, draining: bool) -> bool:
        """False when no such node ever registered."""
        changed = update(nodes).where(nodes.c.id == node_id).values(draining=draining).returning(nodes.c.id)
        return (await session.execute(changed)).first() is not None

    async def told(self, session: AsyncSession) -> dict[str, str]:
        """What was last published of each node's state, by node id; empty: nothing yet."""
        return {row.id: row.told for row in await session.execute(select(nodes.c.id, nodes.c.told))}

    async def tell(self, session: AsyncSession, node_id: str, state: str) -> None:
        """Remember what is published of a node's state."""
        await session.execute(update(nodes).where(nodes.c.id == node_id).values(told=state))

    async def all(self, session: AsyncSession) -> list[Connection]:
        """Every node known, as it last described itself."""
        rows = await session.execute(select(nodes).order_by(nodes.c.id))
        return [
            Connection(
                row.id, row.pool, row.backend, row.device, frozenset(row.models), row.capacity, row.draining
            )
            for row in rows
        ]
