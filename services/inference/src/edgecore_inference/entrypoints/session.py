"""The node's session with the scheduler, as a component."""

import asyncio

from edgecore_inference.adapters.scheduler_stream import SchedulerStream
from edgecore_inference.entrypoints.work import Worker


class Session:
    """Speaks and works until stopped; stopping drains."""

    name = "work session"

    def __init__(
        self, stream: SchedulerStream, worker: Worker, drain_seconds: float, grace_seconds: float
    ) -> None:
        self._stream = stream
        self._worker = worker
        self._drain_seconds = drain_seconds
        self._grace_seconds = grace_seconds
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._stream.run(), name="scheduler stream"),
            asyncio.create_task(self._worker.watch_leases(), name="lease watch"),
        ]

    async def stop(self) -> None:
        try:
            await self._worker.leave(self._drain_seconds, self._grace_seconds)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_failed(self) -> None:
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def problem(self) -> str | None:
        """A health check."""
        return None if self._stream.connected else "not registered with the scheduler"
