"""A node with a stand-in engine, in this process or in one of its own, and the scheduler it speaks to."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from edgecore_inference.bootstrap import build
from edgecore_inference.settings import Settings
from edgecore_runtime.clock import Clock
from edgecore_runtime.http import HttpServer
from edgecore_runtime.service import RunningService, Service
from edgecore_runtime.testing import eventually

from .fake_scheduler import FakeScheduler

PROGRAM = str(Path(__file__).with_name("agent_program.py"))
EXIT_SECONDS = 90
"""For a process that starts, too: it may have to import torch on a busy machine."""
STANDIN = (sys.executable, str(Path(__file__).with_name("standin_engine.py")))


class Node:
    """A running node, and what it leaves on disk."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self._running = RunningService(service)
        self._leaving: asyncio.Task[None] | None = None
        self.artifacts = folder / "artifacts"
        self.scratch = folder / "scratch" / "inference-node-1"

    @property
    def url(self) -> str:
        http = self.service.components[0]
        assert isinstance(http, HttpServer)
        return f"http://127.0.0.1:{http.port}"

    def start(self) -> "asyncio.Task[RunningService]":
        """In the background."""
        return asyncio.create_task(self._running.__aenter__())

    def leave(self) -> "asyncio.Task[None]":
        """Stop as SIGTERM would, in the background; once."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._running.__aexit__(None, None, None))
        return self._leaving

    async def ready(self) -> None:
        """Once it says so; to be registered is a moment earlier."""
        async with httpx.AsyncClient(base_url=self.url) as client:

            async def said() -> bool:
                return (await client.get("/health/ready")).status_code == 200

            await eventually(said)

    def engine_pid(self, program: str = "standin_engine") -> int | None:
        """None while there is none."""
        children = psutil.Process().children()
        return next((child.pid for child in children if program in _command(child)), None)

    def files(self) -> list[Path]:
        """Whatever lies in the artifact store, half-written files too."""
        return [path for path in self.artifacts.rglob("*") if path.is_file()]

    def scratch_files(self) -> list[Path]:
        return list(self.scratch.rglob("*"))


@pytest.fixture
async def scheduler() -> AsyncIterator[FakeScheduler]:
    fake = FakeScheduler()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def settings(tmp_path: Path, scheduler: FakeScheduler) -> Settings:
    return Settings(
        http_port=0,
        object_store_url=f"file://{tmp_path}/artifacts",
        scheduler_address=f"127.0.0.1:{scheduler.port}",
        node_id="node-1",
        scratch_directory=str(tmp_path / "scratch"),
        engine_grace_seconds=10.0,
        drain_seconds=10.0,
    )


StartAgent = Callable[..., Awaitable[Process]]
StartNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def start_node(settings: Settings, scheduler: FakeScheduler, tmp_path: Path) -> AsyncIterator[StartNode]:
    """Start the node with some settings changed; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(engine: Sequence[str] = STANDIN, clock: Clock | None = None, **changes: object) -> Node:
            service = build(settings.model_copy(update=changes), clock, engine)
            node = Node(service, tmp_path)
            await node.start()
            stack.push_async_callback(node.leave)
            await eventually(lambda: scheduler.connected)
            return node

        yield start


@pytest.fixture
async def node(start_node: StartNode) -> Node:
    return await start_node()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def running(pid: int) -> bool:
    """False for a process that is gone, or dead and not yet waited for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
async def start_agent(scheduler: FakeScheduler, tmp_path: Path) -> AsyncIterator[StartAgent]:
    """Start an agent process; it is killed after the test."""
    started: list[Process] = []

    async def start(*command: str, **environment: str) -> Process:
        settings = {
            "EDGECORE_HTTP_PORT": "0",
            "EDGECORE_OBJECT_STORE_URL": f"file://{tmp_path}/artifacts",
            "EDGECORE_SCHEDULER_ADDRESS": f"127.0.0.1:{scheduler.port}",
            "EDGECORE_NODE_ID": "node-1",
            "EDGECORE_SCRATCH_DIRECTORY": f"{tmp_path}/scratch",
            "EDGECORE_TRACE_FILE": f"{tmp_path}/traces.jsonl",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(command or (PROGRAM, "serve")),
            env={**os.environ, **settings, **environment},
            stdin=DEVNULL,
            stderr=PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def ended(process: Process) -> tuple[int, list[str]]:
    """Exit status and the lines on standard error."""
    async with asyncio.timeout(EXIT_SECONDS):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode().splitlines()


def engine_of(agent: Process) -> int:
    [engine] = psutil.Process(agent.pid).children()
    return engine.pid
