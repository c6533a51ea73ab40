"""A stack's children: started in stages, kept running, ended in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgecore_cli.keeper import Change, Keeper
from edgecore_runtime.embedded.part import Part


class Supervisor:
    """`on_change` hears of every start, readiness, death and end.

    Use from the main thread: on Linux a child is ended when the thread that started it ends.
    """

    def __init__(self, logs: Path, keep_open: Sequence[int], on_change: Callable[[Change], None]) -> None:
        self._logs = logs
        self._keep_open = keep_open
        self._on_change = on_change
        self._stages: list[list[Keeper]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *stages: Sequence[Part]) -> None:
        """Start these all at once; returns when they have answered. Raises PartFailed when one is given up.

        Several stages are ended one after the other, the last first.
        """
        started = [
            [Keeper(part, self._logs, self._keep_open, self._on_change) for part in stage] for stage in stages
        ]
        self._stages += started
        keepers = [keeper for stage in started for keeper in stage]
        self._tasks += [asyncio.create_task(keeper.run()) for keeper in keepers]
        await self._until_given_up(asyncio.gather(*(keeper.ready.wait() for keeper in keepers)))

    async def watch(self) -> None:
        """Never returns. Raises PartFailed when a child is given up."""
        await self._until_given_up(asyncio.get_running_loop().create_future())

    async def stop(self) -> None:
        """End all: the stage started last first, each stage at once; a deadline for each child."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stage in reversed(self._stages):
            await asyncio.gather(*(keeper.stop() for keeper in stage))

    def kill(self) -> None:
        """SIGKILL for all, for a user who does not want to wait for `stop`."""
        for stage in self._stages:
            for keeper in stage:
                keeper.kill()

    async def _until_given_up(self, awaited: asyncio.Future[Any]) -> None:
        """Wait for `awaited`, or raise what the first keeper to end has raised."""
        running = list(self._tasks)
        futures: set[asyncio.Future[Any]] = {awaited, *running}
        try:
            done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        finally:
            awaited.cancel()
            await asyncio.gather(awaited, return_exceptions=True)
        for task in running:
            if task in done:
                task.result()
