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
        self._keepers: list[tuple[Keeper, asyncio.Task[None]]] = []

    async def start(self, stage: Sequence[Part]) -> None:
        """Start these at once; returns when all have answered. Raises PartFailed when one is given up."""
        keepers = [Keeper(part, self._logs, self._keep_open, self._on_change) for part in stage]
        self._keepers += [(keeper, asyncio.create_task(keeper.run())) for keeper in keepers]
        await self._until_given_up(asyncio.gather(*(keeper.ready.wait() for keeper in keepers)))

    async def watch(self) -> None:
        """Never returns. Raises PartFailed when a child is given up."""
        await self._until_given_up(asyncio.get_running_loop().create_future())

    async def stop(self) -> None:
        """End all, the last started first, each before the next; a deadline for each."""
        for _, task in self._keepers:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._keepers), return_exceptions=True)
        for keeper, _ in reversed(self._keepers):
            await keeper.stop()

    def kill(self) -> None:
        """SIGKILL for all, for a user who does not want to wait for `stop`."""
        for keeper, _ in self._keepers:
            keeper.kill()

    async def _until_given_up(self, awaited: asyncio.Future[Any]) -> None:
        """Wait for `awaited`, or raise what the first keeper to end has raised."""
        running = [task for _, task in self._keepers]
        futures: set[asyncio.Future[Any]] = {awaited, *running}
        try:
            done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        finally:
            awaited.cancel()
            await asyncio.gather(awaited, return_exceptions=True)
        for task in running:
            if task in done:
                task.result()
