"""The nodes that are connected now, and which of them can take a job."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

OUTBOUND = 256
"""Bound of the messages waiting to be read by one node; a node that far behind is cut off."""


@dataclass
class Connection:
    """One node's open stream. `running` holds the lease ids it works on; None in `outbound` ends the stream."""

    node_id: str
    pool: str
    backend: str
    device: str
    models: frozenset[str]
    capacity: int
    draining: bool = False
    running: set[str] = field(default_factory=set)
    outbound: asyncio.Queue[Any] = field(default_factory=lambda: asyncio.Queue(OUTBOUND))

    @property
    def free(self) -> int:
        """How many jobs it can take now."""
        return 0 if self.draining else max(0, self.capacity - len(self.running))

    def send(self, message: Any) -> bool:
        """Queue a message; False when the node has stopped reading, and its stream must end."""
        try:
            self.outbound.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    def close(self) -> None:
        """End the stream as soon as it looks."""
        while not self.outbound.empty():
            self.outbound.get_nowait()
        self.outbound.put_nowait(None)


class Nodes:
    """Connections by node id; a node that connects again replaces its older stream."""

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}

    def add(self, connection: Connection) -> None:
        older = self._connections.get(connection.node_id)
        if older is not None:
            older.close()
        self._connections[connection.node_id] = connection

    def remove(self, connection: Connection) -> None:
        """Forget the connection, unless a newer one took its place."""
        if self._connections.get(connection.node_id) is connection:
            del self._connections[connection.node_id]

    def get(self, node_id: str) -> Connection | None:
        return self._connections.get(node_id)

    def all(self) -> list[Connection]:
        return list(self._connections.values())

    def of_backend(self, backend: str) -> list[Connection]:
        return [one for one in self._connections.values() if one.backend == backend]

    def with_room(self) -> list[Connection]:
        """Nodes that can take a job, the emptiest first."""
        return sorted((one for one in self.all() if one.free > 0), key=lambda one: len(one.running) / one.capacity)
