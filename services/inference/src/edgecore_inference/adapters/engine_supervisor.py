"""Keeps one engine running: starts it again after it died, with growing pauses and an end to patience."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from edgecore_inference import metrics
from edgecore_inference.adapters.engine_process import EngineNotStarted, EngineProcess
from edgecore_inference.domain.engine_messages import Ready
from edgecore_inference.domain.outcome import describe_exit
from edgecore_runtime import logs

STARTS_MAX = 5
"""Starts in a row that may fail before the node gives up and whoever runs it decides."""

PAUSE_SECONDS, PAUSE_MAX_SECONDS = 0.2, 10.0

log = logs.get(__name__)


class EngineSupervisor:
    """A component; `start` returns when the first engine is ready.

    Raises CheckpointUnusable, or EngineNotStarted after STARTS_MAX attempts.
    """

    name = "engine supervisor"

    def __init__(self, command: Sequence[str], start_seconds: float, grace_seconds: float) -> None:
        self._command = command
        self._start_seconds = start_seconds
        self._grace_seconds = grace_seconds
        self._engine: EngineProcess | None = None
        self._ready: Ready | None = None
        self._available = asyncio.Event()
        self._in_use = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        first = await self._launch()
        self._watching = asyncio.create_task(self._watch(first), name=self.name)

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._engine is not None:
            await self._engine.stop()

    async def wait_failed(self) -> None:
        if self._watching is not None:
            await asyncio.shield(self._watching)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[EngineProcess]:
        """The engine for one job alone, once there is one and it is free; bound the wait.

        It may die at any moment; the next use gets its successor.
        """
        async with self._in_use:
            yield await self._wait_available()

    @property
    def ready(self) -> Ready:
        """What the engine said when it was ready; after a restart, what the newest said."""
        if self._ready is None:
            raise RuntimeError("no engine was ready yet")
        return self._ready

    @property
    def peak_memory_bytes(self) -> int:
        return self._engine.peak_memory_bytes if self._engine is not None else 0

    async def problem(self) -> str | None:
        """A health check."""
        return None if self._available.is_set() else "the engine is loading its model"

    async def _wait_available(self) -> EngineProcess:
        while self._engine is None:
            await self._available.wait()
        return self._engine

    async def _watch(self, engine: EngineProcess) -> None:
        fruitless = 0
        while True:
            code = await engine.exited()
            fruitless = 0 if engine.completed else fruitless + 1
            self._engine = None
            self._available.clear()
            log.warning("engine ended, starting another", exit=describe_exit(code))
            await asyncio.sleep(_pause(fruitless))
            engine = await self._launch()

    async def _launch(self) -> EngineProcess:
        for attempt in itertools.count(1):
            try:
                engine = await EngineProcess.launch(self._command, self._start_seconds, self._grace_seconds)
                break
            except (EngineNotStarted, OSError) as error:
                log.error("engine did not start", attempt=attempt, of=STARTS_MAX, detail=str(error))
                if attempt == STARTS_MAX:
                    raise
                await asyncio.sleep(_pause(attempt))
        metrics.ENGINE_STARTS.inc()
        self._engine, self._ready = engine, engine.ready
        self._available.set()
        log.info("engine ready", pid=engine.pid, model=engine.ready.model, seconds=engine.ready.load_seconds)
        return engine


def _pause(failures: int) -> float:
    """Seconds before the next start: none after an engine that worked, then growing, with jitter."""
    if failures == 0:
        return 0.0
    longest = min(PAUSE_MAX_SECONDS, PAUSE_SECONDS * 2.0 ** (failures - 1))
    return random.uniform(longest / 2, longest)
