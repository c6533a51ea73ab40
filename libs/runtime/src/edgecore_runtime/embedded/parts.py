"""All the embedded parts at once, for a test run: `with embedded_parts(directory) as parts: ...`

EDGECORE_TEST_REAL=1: real ones in containers instead, so that the same suites run on both (see containers.py).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgecore_runtime.embedded.broker import Broker
from edgecore_runtime.embedded.part import Part
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.embedded.postgres import Postgres
from edgecore_runtime.embedded.process import Child
from edgecore_runtime.embedded.redis import Redis

START_DEADLINE_S = 60.0
STOP_GRACE_S = 5.0


class EmbeddedParts:
    """Running parts on free ports. Every method may be called from any thread, also inside an event loop.

    They block; in an async test that must stay responsive use `asyncio.to_thread`.
    """

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        postgres, broker, redis = free_ports(3)
        self.directory = directory
        self._postgres = Postgres(directory / "postgres", postgres)
        self._broker = Broker(broker)
        self._redis = Redis(redis)
        self._children: dict[str, Child] = {}
        self._loop = loop

    @property
    def kafka_bootstrap(self) -> str:
        return self._broker.bootstrap

    @property
    def redis_url(self) -> str:
        return self._redis.url

    def database_url(self, name: str) -> str:
        """SQLAlchemy URL (asyncpg) of database `name`, which is made when missing."""
        self._run(self._postgres.create_database(name))
        return self._postgres.database_url(name)

    def kill_broker(self) -> None:
        """SIGKILL: everything in the broker's log is lost, and connections are refused from now on."""
        self._run(self._end(self._broker))

    def restart_broker(self) -> None:
        """A new, empty broker on the same port, ready when this returns; an old one is killed first."""
        self._run(self._restart(self._broker))

    def start(self) -> None:
        """Start all three. Raises PartFailed with the log's end in `log_tail`."""
        self._run(self._start_all())

    def stop(self) -> None:
        self._run(self._stop_all())

    async def _start_all(self) -> None:
        async with asyncio.TaskGroup() as starting:
            for part in (self._postgres, self._broker, self._redis):
                starting.create_task(self._start(part))

    async def _start(self, part: Part) -> None:
        await part.prepare()
        child = Child(part, self.directory / "logs" / f"{part.name}.log")
        self._children[part.name] = child
        await child.ready(START_DEADLINE_S)

    async def _restart(self, part: Part) -> None:
        await self._end(part)
        await self._start(part)

    async def _end(self, part: Part) -> None:
        child = self._children.pop(part.name, None)
        if child is not None:
            child.kill()
            await child.exited()

    async def _stop_all(self) -> None:
        await asyncio.gather(*(child.stop(STOP_GRACE_S) for child in self._children.values()))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * START_DEADLINE_S)


@contextmanager
def embedded_parts(directory: Path) -> Iterator[EmbeddedParts]:
    """Start PostgreSQL, broker and Redis with their files under `directory`; stop them at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    loop = asyncio.new_event_loop()
    # A thread of their own, because a child is ended by the kernel when the thread that started it ends.
    thread = threading.Thread(target=loop.run_forever, name="embedded-parts", daemon=True)
    thread.start()
    parts = _kind()(directory, loop)
    try:
        parts.start()
        yield parts
    finally:
        parts.stop()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _kind() -> type[EmbeddedParts]:
    if not os.environ.get("EDGECORE_TEST_REAL"):
        return EmbeddedParts
    from edgecore_runtime.containers import ContainerParts

    return ContainerParts
