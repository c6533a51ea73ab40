"""What pool-events and the lists say of nodes and pools."""

import itertools

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1.events_pb2 import NodeState, NodeStateChanged, PoolSnapshot
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.testing import eventually
from edgecore_scheduler.domain.nodes import Connection, Nodes
from edgecore_scheduler.domain.pools import pools

from .conftest import Node, Scheduler, running


def connection(name: str, pool: str, *models: str, backend: str = "aiprod") -> Connection:
    return Connection(name, pool, backend, "cpu", frozenset(models), 2)


def test_a_pool_counts_what_its_nodes_could_take() -> None:
    nodes, known = Nodes(), [connection("a", "big", "m", "n"), connection("b", "small", "m")]
    paid = connection("c", "runway", backend="runway")
    nodes.add(known[0])
    known[0].running.add("lease")
    waiting = {("aiprod", "m"): 3, ("aiprod", "n"): 2, ("runway", "m"): 1, ("aiprod", "other"): 9}
    big, runway, small = pools(
        [*known, paid], nodes, waiting, {("aiprod", "m"): 2.5}, providers=frozenset({"runway"})
    )
    assert (big.queued, big.queued_seconds, big.running, big.nodes_ready, big.capacity) == (5, 7.5, 1, 1, 2)
    assert (small.queued, small.queued_seconds, small.nodes_ready) == (3, 7.5, 0)
    assert (runway.queued, runway.queued_seconds) == (1, 0.0)


def test_a_pool_that_runs_another_model_now_waits_for_no_old_ones() -> None:
    gone, here = connection("a", "gpus", "old"), connection("b", "gpus", "new")
    nodes = Nodes()
    nodes.add(here)
    (standing,) = pools([gone, here], nodes, {("aiprod", "old"): 4, ("aiprod", "new"): 1}, {}, frozenset())
    assert standing.queued == 1


async def told(scheduler: Scheduler, pool: str = "default") -> list[str]:
    events = [one for one in await scheduler.events(pool) if isinstance(one, NodeStateChanged)]
    return [NodeState.Name(one.state).removeprefix("NODE_STATE_") for one in events]


async def snapshots(scheduler: Scheduler) -> list[pb.Pool]:
    return [one.pool for one in await scheduler.events("default") if isinstance(one, PoolSnapshot)]


async def reads(scheduler: Scheduler, *states: str, keep: tuple[Node, pb.Assign] | None = None) -> None:
    """Wait until this was told, in this order and no more, with heartbeats that `keep` a node's lease."""

    async def so() -> bool:
        if keep:
            keep[0].send(heartbeat=pb.Heartbeat(leases=[keep[1].lease]))
        return await told(scheduler) == list(states)

    await eventually(so)


async def test_a_nodes_life_is_told_once_a_step(database_url: str, embedded: EmbeddedParts) -> None:
    async with running(database_url, embedded, lease_ttl=5.0) as scheduler:
        node = scheduler.node()
        await node.register()
        await scheduler.generate()
        assign = await node.receive("assign")
        await reads(scheduler, "READY", keep=(node, assign))
        await scheduler.stub.DrainNode(pb.DrainNodeRequest(node_id="node-1", drain=True))
        await reads(scheduler, "READY", "DRAINING", keep=(node, assign))
        node.finish(assign.lease, "SUCCEEDED", "COMPLETED")
        await reads(scheduler, "READY", "DRAINING", "DRAINED")
        node.close()
        await reads(scheduler, "READY", "DRAINING", "DRAINED", "GONE")
    async with running(database_url, embedded, lease_ttl=5.0) as scheduler:
        node = scheduler.node()
        await node.register()
        await reads(scheduler, "READY", "DRAINING", "DRAINED", "GONE", "DRAINED")
        await scheduler.stub.DrainNode(pb.DrainNodeRequest(node_id="node-1", drain=False))
        await reads(scheduler, "READY", "DRAINING", "DRAINED", "GONE", "DRAINED", "READY")


async def test_a_node_that_vanished_with_the_scheduler_is_told_gone(
    database_url: str, embedded: EmbeddedParts
) -> None:
    async with running(database_url, embedded, lease_ttl=600.0) as scheduler:
        await scheduler.node().register()
        await reads(scheduler, "READY")
    async with running(database_url, embedded, lease_ttl=1.0) as scheduler:
        await reads(scheduler, "READY", "GONE")


async def test_a_pool_is_told_when_it_changes(database_url: str, embedded: EmbeddedParts) -> None:
    async with running(database_url, embedded, lease_ttl=60.0) as scheduler:
        node = scheduler.node()
        await node.register(capacity=1)
        for _ in range(2):
            await scheduler.generate()
        assign = await node.receive("assign")

        async def shows(queued: int, busy: int) -> None:
            async def so() -> bool:
                made = await snapshots(scheduler)
                return bool(made) and (made[-1].queued, made[-1].running) == (queued, busy)

            await eventually(so)

        await shows(queued=1, busy=1)
        (pool,) = (await scheduler.stub.ListPools(pb.ListPoolsRequest())).pools
        assert pool == (await snapshots(scheduler))[-1]
        assert (pool.backend, pool.nodes_ready, pool.capacity) == ("aiprod", 1, 1)
        node.finish(assign.lease, "SUCCEEDED", "COMPLETED")
        again = await node.receive("assign")
        await shows(queued=0, busy=1)
        node.finish(again.lease, "SUCCEEDED", "COMPLETED")
        await shows(queued=0, busy=0)
        made = await snapshots(scheduler)
        assert all(before != after for before, after in itertools.pairwise(made)), "only news is told"
