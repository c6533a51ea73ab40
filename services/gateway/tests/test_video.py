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
from edgecore_runtime.testing import eventually

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


async def delivered(house: Any, client: httpx.AsyncClient, kit: SimpleNamespace, folder: Path) -> dict[str, Any]:
    """The status of a job with a webm, a ProRes and a thumbnail, whose files say what they are."""
    job_id = await kit.new_job(client, formats=["webm", "prores"])
    store, artifacts = ObjectStore(house.settings.object_store_url), []
    for name, file, kind in (
        ("webm", "video.webm", "video/webm"),
        ("prores", "video.mov", "video/quicktime"),
        ("thumbnail", "thumbnail.jpg", "image/jpeg"),
    ):
        (folder / file).write_bytes(name.encode())
        key = f"jobs/{job_id}/1-1/{file}"
        stored = await store.put(key, folder / file)
        artifacts.append(
            common_pb2.Artifact(
                key=key, size_bytes=stored.size, sha256=stored.sha256, media_type=kind, format=name
            )
        )
    changes = [kit.changed(job_id, version, artifacts[0]) for version in range(1, 6)]
    changes[-1].other_artifacts.extend(artifacts[1:])
    await house.tell(*changes)
    status: dict[str, Any] = (await client.get(f"/api/v1/status/{job_id}?wait=20")).json()
    assert status["state"] == "DELIVERED"
    return status


async def test_every_format_and_the_thumbnail(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace, tmp_path: Path
) -> None:
    status = await delivered(house, client, kit, tmp_path)
    job_id = status["id"]
    base = f"/api/v1/jobs/{job_id}"
    assert status["spec"]["formats"] == ["webm", "prores"]
    assert status["renditions"] == [
        {"format": "webm", "url": f"{base}/video?format=webm", "size_bytes": 4, "media_type": "video/webm"},
        {
            "format": "prores",
            "url": f"{base}/video?format=prores",
            "size_bytes": 6,
            "media_type": "video/quicktime",
        },
    ]
    for url, name, suffix, kind in (
        (status["video_url"], "webm", "webm", "video/webm"),
        (status["renditions"][0]["url"], "webm", "webm", "video/webm"),
        (status["renditions"][1]["url"], "prores", "mov", "video/quicktime"),
        (status["thumbnail_url"], "thumbnail", "jpg", "image/jpeg"),
    ):
        answer = await client.get(url)
        assert (answer.status_code, answer.text) == (200, name)
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-disposition"] == f'inline; filename="{job_id}.{suffix}"'
        assert answer.headers["etag"] == f'"{hashlib.sha256(name.encode()).hexdigest()}"'
        part = await client.get(url, headers={"Range": "bytes=1-2"})
        assert (part.status_code, part.text) == (206, name[1:3])
        assert (await client.head(url)).headers["content-length"] == str(len(name))


async def test_a_format_that_was_not_asked_for(
    house: Any, client: httpx.AsyncClient, stranger: httpx.AsyncClient, kit: SimpleNamespace, tmp_path: Path
) -> None:
    status = await delivered(house, client, kit, tmp_path)
    url = f"/api/v1/jobs/{status['id']}/video"
    missing = await client.get(url, params={"format": "mp4"})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert "no mp4: it was made as webm, prores" in missing.json()["detail"]
    unknown = await client.get(url, params={"format": "webmm"})
    assert unknown.status_code == 422
    assert unknown.json()["errors"] == [
        {"field": "format", "rule": "must be one of mp4, webm, prores", "nearest": "webm"}
    ]
    for path in (status["renditions"][0]["url"], status["thumbnail_url"]):
        assert (await stranger.get(path)).status_code == 404


async def test_a_job_from_before_there_were_formats(client: httpx.AsyncClient, url: str) -> None:
    status = (await client.get(f"/api/v1/status/{url.split('/')[-2]}")).json()
    assert [one["format"] for one in status["renditions"]] == ["mp4"]
    assert (await client.get(status["renditions"][0]["url"])).content == VIDEO
    assert status["thumbnail_url"] is None
    assert (await client.get(f"/api/v1/jobs/{status['id']}/thumbnail")).status_code == 404


async def test_formats_travel_with_the_command(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client, formats=["prores", "mp4"])
    [command] = await eventually(lambda: house.commands(job_id))
    assert list(command.message.spec.formats) == ["prores", "mp4"]
    status = (await client.get(f"/api/v1/status/{job_id}")).json()
    assert (status["renditions"], status["thumbnail_url"]) == ([], None)


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
