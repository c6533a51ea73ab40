"""GET /api/v1/jobs/{id}/video on a real object store."""

import hashlib
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from edgecore.common.v1 import common_pb2
from edgecore_runtime.objects import ObjectStore

pytestmark = pytest.mark.asyncio(loop_scope="session")

VIDEO = random.Random(1).randbytes(600_000)  # more than two chunks of the store
SHA256 = hashlib.sha256(VIDEO).hexdigest()


@pytest_asyncio.fixture(loop_scope="session")
async def url(house: Any, client: httpx.AsyncClient, kit: SimpleNamespace, tmp_path: Path) -> str:
    """The address of a delivered video."""
    job_id = await kit.new_job(client)
    key = f"jobs/{job_id}/1-1/video.mp4"
    (tmp_path / "video.mp4").write_bytes(VIDEO)
    await ObjectStore(house.settings.object_store_url).put(key, tmp_path / "video.mp4")
    artifact = common_pb2.Artifact(key=key, size_bytes=len(VIDEO), sha256=SHA256, media_type="video/mp4")
    await house.tell(*(kit.changed(job_id, version, artifact) for version in range(1, 6)))
    done = (await client.get(f"/api/v1/status/{job_id}?wait=20")).json()
    assert done["state"] == "DELIVERED"
    return str(done["video_url"])


async def test_the_whole_video(client: httpx.AsyncClient, url: str) -> None:
    answer = await client.get(url)
    assert answer.status_code == 200
    assert answer.content == VIDEO
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["etag"] == f'"{SHA256}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == f'inline; filename="{url.split("/")[-2]}.mp4"'
    head = await client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "600000")


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-400000", 100, 400_001),
        ("bytes=599999-", 599_999, 600_000),
        ("bytes=-10", 599_990, 600_000),
        ("bytes=500000-9999999", 500_000, 600_000),
    ],
)
async def test_a_part(client: httpx.AsyncClient, url: str, header: str, start: int, end: int) -> None:
    answer = await client.get(url, headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, VIDEO[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/600000"


async def test_a_part_that_is_not_there(client: httpx.AsyncClient, url: str) -> None:
    answer = await client.get(url, headers={"Range": "bytes=600000-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */600000")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_conditions(client: httpx.AsyncClient, url: str) -> None:
    assert (await client.get(url, headers={"If-None-Match": f'"{SHA256}"'})).status_code == 304
    part = {"Range": "bytes=0-3"}
    assert (await client.get(url, headers=part | {"If-Range": f'"{SHA256}"'})).status_code == 206
    assert (await client.get(url, headers=part | {"If-Range": '"older"'})).content == VIDEO


async def test_a_video_that_is_not_there_yet(client: httpx.AsyncClient, kit: SimpleNamespace) -> None:
    answer = await client.get(f"/api/v1/jobs/{await kit.new_job(client)}/video")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "INIT" in answer.json()["detail"]


async def test_a_video_that_was_lost_or_damaged(house: Any, client: httpx.AsyncClient, url: str) -> None:
    (stored,) = (house.artifacts / "jobs" / url.split("/")[-2]).rglob("video.mp4")
    stored.write_bytes(b"short")
    damaged = await client.get(url)
    assert (damaged.status_code, damaged.json()["code"]) == (500, "internal")
    stored.unlink()
    lost = await client.get(url)
    assert (lost.status_code, lost.json()["code"]) == (410, "gone")
