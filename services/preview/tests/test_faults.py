"""Redis away and back, a Redis that hangs, SIGTERM and SIGKILL, settings and the README."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest

from edgecore.preview.v1 import preview_pb2 as pb
from edgecore.preview.v1 import preview_pb2_grpc
from edgecore_preview.settings import Settings
from edgecore_runtime import grpc_client
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.settings import table
from edgecore_runtime.testing import eventually


async def ready(preview: Any) -> int:
    async with httpx.AsyncClient(base_url=preview.url) as client:
        return (await client.get("/health/ready")).status_code


async def test_redis_killed_and_back(start: Any, kit: SimpleNamespace, job_id: str) -> None:
    redis = start
    async with kit.running(redis.url) as preview:
        viewer = preview.view(job_id)
        assert await preview.publish(kit.made(job_id, 1)) == (1, 0)
        await eventually(lambda: viewer.counts == [(1, 1)])
        await redis.kill()
        assert await ready(preview) == 503
        began = time.monotonic()
        answers = [await preview.publish(kit.made(job_id, count)) for count in (2, 3)]
        assert answers == [(0, 1), (0, 1)]
        assert time.monotonic() - began < 5  # the node is answered, not held
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await preview.snapshot(job_id)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        newcomer = preview.view(job_id)  # waits, rather than failing
        await redis.start()
        numbers = iter(range(4, 1000))

        async def published() -> bool:
            return await preview.publish(kit.made(job_id, next(numbers))) == (1, 0)

        await eventually(published, 20)
        last = kit.made(job_id, next(numbers))
        assert await preview.publish(last) == (1, 0)
        await eventually(lambda: viewer.seen[-1].frame == last, 20)
        await eventually(lambda: newcomer.seen and newcomer.seen[-1].frame == last, 20)
        assert await ready(preview) == 200


async def test_it_starts_without_redis(kit: SimpleNamespace, job_id: str) -> None:
    (closed,) = free_ports(1)
    async with kit.running(f"redis://127.0.0.1:{closed}/0") as preview:
        assert await ready(preview) == 503
        async with httpx.AsyncClient(base_url=preview.url) as client:
            assert (await client.get("/health/live")).status_code == 200
        assert await preview.publish(kit.made(job_id, 1)) == (0, 1)


@asynccontextmanager
async def hanging_server() -> AsyncIterator[str]:
    """What looks like Redis, takes all there is, and never says a word."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()


async def test_a_redis_that_hangs_costs_frames_and_neither_time_nor_memory(
    kit: SimpleNamespace, job_id: str
) -> None:
    async with (
        hanging_server() as url,
        kit.running(url, write_timeout=0.5, backlog_bytes=2**20) as preview,
    ):
        began = time.monotonic()
        accepted, dropped = await preview.publish(*(kit.made(job_id, n, size=200_000) for n in range(1, 201)))
        assert (accepted, dropped) == (0, 200)  # 40 MB through a backlog of 1 MiB
        assert time.monotonic() - began < 8
        async with httpx.AsyncClient(base_url=preview.url) as client:
            metrics = (await client.get("/metrics")).text
        assert 'edgecore_preview_dropped_total{reason="slow"}' in metrics


@contextmanager
def process(redis_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """`python -m edgecore_preview serve`, its gRPC address and its health URL."""
    grpc_port, http_port = free_ports(2)
    settings = {
        "EDGECORE_REDIS_URL": redis_url,
        "EDGECORE_GRPC_PORT": str(grpc_port),
        "EDGECORE_HTTP_PORT": str(http_port),
    }
    command = [sys.executable, "-m", "edgecore_preview", "serve"]
    child = subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.DEVNULL)
    try:
        yield child, f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{http_port}"
    finally:
        child.kill()
        child.wait()


async def is_up(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url) as client:
        try:
            return (await client.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False


async def test_sigterm_ends_viewers_politely_and_sigkill_loses_no_kept_frame(
    embedded: EmbeddedParts, kit: SimpleNamespace, job_id: str
) -> None:
    sent = kit.made(job_id, 1)
    with process(embedded.redis_url) as (child, address, url):
        await eventually(lambda: is_up(url), 30)
        async with grpc_client.channel(address) as channel:
            stub = preview_pb2_grpc.PreviewServiceStub(channel)
            assert (await stub.Publish(iter([pb.PublishRequest(frame=sent)]))).accepted == 1
        child.send_signal(signal.SIGKILL)
        await eventually(lambda: child.poll() is not None)
    with process(embedded.redis_url) as (child, address, url):
        await eventually(lambda: is_up(url), 30)
        async with grpc_client.channel(address) as channel:
            call = preview_pb2_grpc.PreviewServiceStub(channel).Subscribe(pb.SubscribeRequest(job_id=job_id))
            assert (await call.read()).frame == sent
            child.send_signal(signal.SIGTERM)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
        await eventually(lambda: child.poll() is not None, 15)
        assert child.returncode == 0


@pytest.mark.parametrize(
    ("field", "value"), [("redis_url", "http://x"), ("kept_frames", 0), ("grpc_port", -1), ("write_timeout", 0)]
)
def test_a_bad_setting_ends_the_start(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Settings(**{"redis_url": "redis://127.0.0.1:6379/0", field: value})


def test_the_readme_shows_the_settings() -> None:
    assert table(Settings) in (Path(__file__).parents[1] / "README.md").read_text()
