"""A service is a list of components, started in order and stopped in reverse.

It is crash-only: a component that fails takes the process down with a log line, and whoever runs it (the
local stack, Kubernetes) starts it again. SIGTERM means: not ready, wait the drain delay, stop, exit 0.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from edgecore_runtime import logs
from edgecore_runtime.health import Health

STOP_SECONDS = 15.0
"""The longest one component may take to stop before it is left behind."""

log = logs.get(__name__)


class Component(Protocol):
    """Something with a life of its own."""

    async def start(self) -> None:
        """Return when it works; raise if it never will."""

    async def stop(self) -> None:
        """Return when it is over; called once, also after a failure."""

    async def wait_failed(self) -> None:
        """Return or raise only when it has failed by itself."""


class Background:
    """A component made of one coroutine that runs until it is cancelled."""

    def __init__(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._run = run
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._body(), name=self.name)

    async def _body(self) -> None:
        await self._run()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_failed(self) -> None:
        assert self._task is not None
        await asyncio.shield(self._task)


class Service:
    """A named, startable whole."""

    def __init__(
        self, name: str, components: Sequence[Component], health: Health, drain_delay: float = 0.0
    ) -> None:
        self.name = name
        self.components = components
        self.health = health
        self.drain_delay = drain_delay

    async def run(self) -> int:
        """Run until SIGTERM, SIGINT or a failure; the return value is the exit status."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with RunningService(self) as running:
            failed = asyncio.create_task(running.wait_failed())
            asked = asyncio.create_task(stopping.wait())
            await asyncio.wait({failed, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if failed.done():
                return 1
            failed.cancel()
            self.health.stopping = True
            await asyncio.sleep(self.drain_delay)
        log.info("stopped")
        return 0


class RunningService:
    """The service between its start and its stop; tests use it directly, without signals."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._started: list[Component] = []

    async def __aenter__(self) -> "RunningService":
        try:
            for component in self._service.components:
                self._started.append(component)
                await component.start()
        except BaseException:
            await self._stop()
            raise
        log.info("started")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def wait_failed(self) -> None:
        """Return when any component has failed, after saying which and why."""
        waits = {asyncio.create_task(component.wait_failed()): component for component in self._started}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        for task in done:
            name = getattr(waits[task], "name", type(waits[task]).__name__)
            error = None if task.cancelled() else task.exception()
            log.error("component failed", component=name, exc_info=error)

    async def _stop(self) -> None:
        for component in reversed(self._started):
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await component.stop()
            except TimeoutError:
                log.warning("component did not stop in time", component=type(component).__name__)
            except Exception:
                log.exception("component failed to stop", component=type(component).__name__)
