"""Which nodes go, and when: a node is marked, drained, waited for over many ticks, and only then let go.

The mark on the pod is the memory: it is written before the scheduler is told to drain, so an operator that dies
anywhere in between finds its own work again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Pod:
    """A node's pod; its name is the node's id. `marked_at`: chosen to go, since then."""

    name: str
    marked_at: datetime | None


@dataclass(frozen=True)
class Node:
    """What the scheduler says of it."""

    id: str
    running: int
    draining: bool
    connected: bool


@dataclass(frozen=True)
class Plan:
    """The next small step. Pods by name; `replicas` is the new size of the pool."""

    replicas: int
    mark: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()
    undrain: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    """Let go by this size or an earlier one, and not gone yet; kept with the size, in the same write."""


def plan(
    replicas: int,
    desired: int,
    pods: list[Pod],
    released: frozenset[str],
    nodes: dict[str, Node],
    now: datetime,
    longest: timedelta,
) -> Plan:
    """The next step from `replicas` towards `desired`.

    `pods` are those that live; the `released` among them are let go already and not gone yet. A marked pod is let
    go when nothing runs on it any more, or after `longest`: no attempt takes that long. Of two, the one already
    marked goes first, then one that is not connected, then the one that runs less.
    """
    # Let go, and alive although there are no more pods than there should be: another one went in its place.
    back = [pod for pod in pods if pod.name in released and len(pods) <= max(replicas, desired)]
    staying = [pod for pod in pods if pod.name not in released or pod in back]
    ordered = sorted(staying, key=lambda pod: _rank(pod, nodes.get(pod.name)))
    missing = max(0, replicas - len(ordered))
    surplus = max(0, replicas - desired - missing)
    marked = [pod for pod in ordered if pod.marked_at]
    leaving = marked[:surplus]
    chosen = [pod for pod in ordered if not pod.marked_at][: surplus - len(leaving)]
    gone = [pod for pod in leaving if _over(pod, nodes.get(pod.name), now, longest)]
    going = [*leaving, *chosen]
    return Plan(
        replicas=desired if desired >= replicas else max(desired, replicas - missing - len(gone)),
        mark=tuple(pod.name for pod in chosen),
        drain=tuple(pod.name for pod in going if pod.name in nodes and not nodes[pod.name].draining),
        undrain=tuple(pod.name for pod in marked[surplus:]),
        waiting=tuple(pod.name for pod in going if pod not in gone),
        released=tuple(pod.name for pod in pods if pod in gone or (pod.name in released and pod not in back)),
    )


def _rank(pod: Pod, node: Node | None) -> tuple[bool, bool, int, str]:
    here = node is not None and node.connected
    return (pod.marked_at is None, here, node.running if node and here else 0, pod.name)


def _over(pod: Pod, node: Node | None, now: datetime, longest: timedelta) -> bool:
    assert pod.marked_at is not None
    empty = node is None or (node.running == 0 and (node.draining or not node.connected))
    return empty or now - pod.marked_at > longest
