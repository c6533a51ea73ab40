"""What is known of pools and nodes, for waiting times."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Pool:
    """As its last snapshot said; `queued_seconds` is what those who wait will take, all together."""

    backend: str
    queued_seconds: float
    running: int
    nodes_ready: int
    capacity: int


@dataclass(frozen=True)
class Fleet:
    """All pools, and the devices of ready nodes by backend."""

    pools: tuple[Pool, ...]
    devices: Mapping[str, tuple[str, ...]]

    def known(self, backend: str) -> bool:
        return any(pool.backend == backend for pool in self.pools)

    def ready(self, backend: str) -> bool:
        return any(pool.backend == backend and pool.nodes_ready for pool in self.pools)

    def wait_seconds(self, backend: str, job_seconds: float) -> float:
        """Until a new job starts: the queue spread over the nodes, and half a job where all are busy."""
        pools = [pool for pool in self.pools if pool.backend == backend and pool.nodes_ready]
        slots = max(sum(pool.capacity for pool in pools), 1)
        busy = sum(pool.running for pool in pools) >= slots
        return sum(pool.queued_seconds for pool in pools) / slots + (job_seconds / 2 if busy else 0.0)
