"""How each pool is doing: its nodes, and the waiting jobs they could take."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgecore_scheduler.domain.nodes import Connection, Nodes

Waiting = Mapping[tuple[str, str], int]
"""Jobs in the queue by (backend they wait for, model)."""


@dataclass(frozen=True)
class PoolStanding:
    """`queued_seconds` is what the waiting jobs will probably take, 0 while nothing is known of their kind."""

    pool: str
    backend: str
    queued: int
    queued_seconds: float
    running: int
    nodes_ready: int
    nodes_draining: int
    capacity: int


def pools(
    known: Iterable[Connection],
    nodes: Nodes,
    waiting: Waiting,
    seconds: Mapping[tuple[str, str], float],
    providers: frozenset[str],
) -> list[PoolStanding]:
    """Every pool that ever had a node, by name.

    `known` are the nodes that ever registered: a pool scaled down to none still has its queue. `seconds` is what
    recent attempts of a (backend, model) took on average. A job that two pools could take counts for both.
    """
    members: dict[tuple[str, str], list[Connection]] = {}
    for node in known:
        members.setdefault((node.pool, node.backend), []).append(node)
    return [
        _standing(pool, backend, members[pool, backend], nodes, waiting, seconds, backend in providers)
        for pool, backend in sorted(members)
    ]


def _standing(
    pool: str,
    backend: str,
    members: list[Connection],
    nodes: Nodes,
    waiting: Waiting,
    seconds: Mapping[tuple[str, str], float],
    any_model: bool,
) -> PoolStanding:
    here = [one for one in nodes.of_backend(backend) if one.pool == pool]
    # Those that are here know best what the pool runs; one that is scaled to none is judged by its past.
    models = frozenset[str]().union(*(node.models for node in here or members))
    kinds = [kind for kind in waiting if kind[0] == backend and (any_model or kind[1] in models)]
    ready = [one for one in here if not one.draining]
    return PoolStanding(
        pool=pool,
        backend=backend,
        queued=sum(waiting[kind] for kind in kinds),
        queued_seconds=round(sum(waiting[kind] * seconds.get(kind, 0.0) for kind in kinds), 1),
        running=sum(len(one.running) for one in here),
        nodes_ready=len(ready),
        nodes_draining=len(here) - len(ready),
        capacity=sum(one.capacity for one in ready),
    )
