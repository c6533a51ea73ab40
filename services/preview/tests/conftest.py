"""The real preview service over the embedded Redis, and publishers and viewers over real gRPC."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from edgecore.preview.v1 import preview_pb2 as pb
from edgecore.preview.v1 import preview_pb2_grpc
from edgecore_preview.bootstrap import build
from edgecore_preview.settings import Settings
from edgecore_runtime import grpc_client
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.embedded.process import Child
from edgecore_runtime.embedded.redis import Redis
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.http import HttpServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.service import RunningService, Service

START_SECONDS = 30.0
_numbers = itertools.count(1)


def made(job_id: str, count: int, /, attempt: int = 1, size: int = 2000, **changes: Any) -> pb.Frame:
    """A good frame, whose data says which it is."""
    frame = pb.Frame(
        job_id=job_id,
        attempt=attempt,
        number=attempt * 2**20 + count,
        step=min(count, 20),
        steps=20,
        frame=count % 17,
        frames=17,
        width=854,
        height=480,
        media_type="image/jpeg",
        data=b"\xff\xd8\xff" + f"{attempt}/{count}".encode().ljust(size, b".") + b"\xff\xd9",
    )
    frame.made_at.GetCurrentTime()
    for name, value in changes.items():
        setattr(frame, name, value)
    return frame


class Viewer:
    """One Subscribe call, read in the background or (held) not at all."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.seen: list[pb.SubscribeResponse] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            await self.reading.wait()
            response = await self._call.read()
            if not isinstance(response, pb.SubscribeResponse):
                return
            self.seen.append(response)

    @property
    def counts(self) -> list[tuple[int, int]]:
        """(attempt, count) of every frame seen."""
        return [(one.frame.attempt, one.frame.number % 2**20) for one in self.seen]

    @property
    def skipped(self) -> int:
        return sum(one.skipped for one in self.seen)

    async def code(self) -> Any:
        return await self._call.code()

    async def leave(self) -> None:
        self._call.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Preview:
    """A running preview service and a client of it."""

    def __init__(self, service: Service, channel: Any) -> None:
        self.service = service
        self.stub = preview_pb2_grpc.PreviewServiceStub(channel)
        http = service.components[-1]
        assert isinstance(http, HttpServer)
        self.url = f"http://127.0.0.1:{http.port}"
        self._viewers: list[Viewer] = []

    async def publish(self, *frames: pb.Frame) -> tuple[int, int]:
        """(accepted, dropped) of one stream with these frames."""
        answer = await self.stub.Publish(pb.PublishRequest(frame=one) for one in frames)
        return answer.accepted, answer.dropped

    def view(self, job_id: str, after: int = 0) -> Viewer:
        self._viewers.append(Viewer(self.stub.Subscribe(pb.SubscribeRequest(job_id=job_id, after=after))))
        return self._viewers[-1]

    async def snapshot(self, job_id: str) -> pb.Frame | None:
        answer = await self.stub.Snapshot(pb.SnapshotRequest(job_id=job_id), timeout=5)
        return answer.frame if answer.HasField("frame") else None

    async def leave(self) -> None:
        for viewer in self._viewers:
            await viewer.leave()


def grpc_port(service: Service) -> int:
    return next(one.port for one in service.components if isinstance(one, GrpcServer))


@asynccontextmanager
async def running(redis_url: str, **others: Any) -> AsyncIterator[Preview]:
    """A preview service of its own."""
    # A busy machine may take seconds to write; the tests of a Redis that hangs set their own.
    values = {"redis_url": redis_url, "grpc_port": 0, "http_port": 0, "write_timeout": 20.0} | others
    service = build(Settings(**values))
    async with RunningService(service), grpc_client.channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        preview = Preview(service, channel)
        yield preview
        await preview.leave()


@pytest_asyncio.fixture
async def preview(embedded: EmbeddedParts) -> AsyncIterator[Preview]:
    async with running(embedded.redis_url) as one:
        yield one


class OwnRedis:
    """A Redis of one test, to be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self._part = Redis(port)
        self._log = folder / "redis.log"
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return self._part.url

    async def start(self) -> None:
        self._child = Child(self._part, self._log)
        await self._child.ready(START_SECONDS)

    async def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            await self._child.exited()
            self._child = None


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[OwnRedis]:
    redis = OwnRedis(tmp_path)
    await redis.start()
    yield redis
    await redis.kill()


@pytest.fixture
def job_id() -> str:
    return new_id("job")


@pytest.fixture
def kit() -> SimpleNamespace:
    """The functions above, for tests: pytest imports test files apart from one another."""
    functions: dict[str, Callable[..., Any]] = {"made": made, "running": running, "grpc_port": grpc_port}
    return SimpleNamespace(**functions)
