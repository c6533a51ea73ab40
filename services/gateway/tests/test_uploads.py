"""Pictures: uploaded, named in jobs, sent along with them, and gone when nothing needs them any more."""

import base64
import hashlib
import io
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import func, select, update

from edgecore_gateway.adapters.tables import jobs, uploads
from edgecore_gateway.entrypoints import inputs
from edgecore_gateway.entrypoints.pruning import prune_files
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.objects import ObjectStore, StorageFailed
from edgecore_runtime.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

URL = "/api/v1/uploads"
PROMPT = {"prompt": "a red circle moving right"}


def picture(kind: str = "PNG", size: tuple[int, int] = (48, 32)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind)
    return buffer.getvalue()


PNG = picture()
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


async def upload(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post(URL, content=PNG, headers={"Content-Type": "image/png"})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{URL}/{body['id']}"
    return body


async def expire(house: Any, upload_id: str) -> None:
    long_ago = SystemClock().now() - timedelta(days=1)
    async with house.database.transaction() as session:
        await session.execute(update(uploads).where(uploads.c.id == upload_id).values(expires_at=long_ago))


async def end(house: Any, job_id: str) -> None:
    async with house.database.transaction() as session:
        await session.execute(update(jobs).where(jobs.c.id == job_id).values(state="DELIVERED"))


async def prune(house: Any) -> None:
    await prune_files(house.database, ObjectStore(house.settings.object_store_url), SystemClock())


async def count(house: Any, table: Any) -> int:
    async with house.database.reading() as session:
        return int((await session.execute(select(func.count()).select_from(table))).scalar_one())


async def test_an_upload_is_kept_and_shown(house: Any, client: httpx.AsyncClient) -> None:
    made = await upload(client)
    assert (made["media_type"], made["width"], made["height"], made["size_bytes"]) == (
        "image/png",
        48,
        32,
        len(PNG),
    )
    assert made["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert made["expires_at"][:10] > made["created_at"][:10]
    assert (await client.get(f"{URL}/{made['id']}")).json() == made
    assert (house.artifacts / "uploads" / f"{made['id']}.png").read_bytes() == PNG


async def test_a_job_begins_with_an_upload(house: Any, client: httpx.AsyncClient) -> None:
    made = await upload(client)
    body = PROMPT | {"image": made["id"], "flow_guidance": {"motion": [2, -1], "strength": 0.5}}
    answer = await client.post("/api/v1/generate", json=body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["spec"]["image"], job["spec"]["variant"], job["spec"]["upscale"]) == (
        made["id"],
        "standard",
        False,
    )
    assert job["spec"]["flow_guidance"] == {"motion": [2.0, -1.0], "strength": 0.5}
    assert (await client.get(job["status_url"])).json() == job
    (command,) = await eventually(lambda: house.commands(job["id"]))
    spec = command.message.spec
    assert (spec.image, spec.variant, spec.upscale) == (f"uploads/{made['id']}.png", "standard", False)
    assert (spec.flow_guidance.right, spec.flow_guidance.down, spec.flow_guidance.strength) == (2, -1, 0.5)
    assert command.message.fallback is False


async def test_a_distilled_upscaled_job(house: Any, client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/generate", json=PROMPT | {"variant": "distilled", "upscale": True})
    job = answer.json()
    assert (job["spec"]["variant"], job["spec"]["upscale"], job["spec"]["steps"]) == ("distilled", True, 4)
    assert job["spec"]["image"] is None
    (command,) = await eventually(lambda: house.commands(job["id"]))
    assert (command.message.spec.variant, command.message.spec.upscale) == ("distilled", True)
    assert not command.message.spec.HasField("flow_guidance")
    assert command.message.fallback is False


async def test_a_picture_sent_along_becomes_an_upload(house: Any, client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "with a picture"}
    answer = await client.post("/api/v1/generate", json=PROMPT | {"image": DATA_URL}, headers=headers)
    assert answer.status_code == 202, answer.text
    assert "base64" not in answer.text
    upload_id = answer.json()["spec"]["image"]
    assert (await client.get(f"{URL}/{upload_id}")).json()["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert (house.artifacts / "uploads" / f"{upload_id}.png").read_bytes() == PNG
    stored = await count(house, uploads)
    again = await client.post("/api/v1/generate", json=PROMPT | {"image": DATA_URL}, headers=headers)
    assert (again.json()["id"], again.headers["idempotency-replayed"]) == (answer.json()["id"], "true")
    assert await count(house, uploads) == stored


async def test_a_large_picture_fits_into_a_job(client: httpx.AsyncClient) -> None:
    padded = PNG + bytes(8 * 1024 * 1024 - len(PNG))
    url = f"data:image/png;base64,{base64.b64encode(padded).decode()}"
    answer = await client.post("/api/v1/generate", json=PROMPT | {"image": url})
    assert answer.status_code == 202, answer.text


async def test_an_estimate_stores_nothing(house: Any, client: httpx.AsyncClient) -> None:
    stored = await count(house, uploads)
    answer = await client.post("/api/v1/estimate", json=PROMPT | {"image": DATA_URL})
    assert answer.json()["code"] == "unavailable"  # valid, and there is no cost service
    answer = await client.post("/api/v1/estimate", json=PROMPT | {"image": f"upl_{'0' * 26}"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "image")
    assert await count(house, uploads) == stored


async def test_another_users_upload_is_unknown(
    house: Any, client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = await upload(client)
    before = await count(house, jobs)
    answer = await stranger.post("/api/v1/generate", json=PROMPT | {"image": made["id"]})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "image", "rule": f"there is no such upload of yours: {made['id']}"}
    ]
    assert await count(house, jobs) == before
    for method in ("GET", "DELETE"):
        assert (await stranger.request(method, f"{URL}/{made['id']}")).status_code == 404
        assert (await client.request(method, f"{URL}/nothing")).status_code == 404
    assert (await client.get(f"{URL}/{made['id']}")).status_code == 200


async def test_a_deleted_upload_stays_for_the_job_that_has_it(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    made = await upload(client)
    file = house.artifacts / "uploads" / f"{made['id']}.png"
    job_id = await kit.new_job(client, image=made["id"])
    assert (await client.delete(f"{URL}/{made['id']}")).status_code == 204
    assert (await client.delete(f"{URL}/{made['id']}")).status_code == 404
    refused = await client.post("/api/v1/generate", json=PROMPT | {"image": made["id"]})
    assert refused.status_code == 422
    await expire(house, made["id"])
    await prune(house)
    assert file.exists()
    await end(house, job_id)
    await prune(house)
    assert not file.exists()


async def test_an_expired_upload_goes_with_its_file(house: Any, client: httpx.AsyncClient) -> None:
    kept, made = await upload(client), await upload(client)
    await expire(house, made["id"])
    assert (await client.get(f"{URL}/{made['id']}")).status_code == 404
    await prune(house)
    assert not (house.artifacts / "uploads" / f"{made['id']}.png").exists()
    assert (house.artifacts / "uploads" / f"{kept['id']}.png").exists()


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (PNG, "application/octet-stream", 415),
        (PNG, "", 415),
        (PNG, "image/jpeg", 422),
        (b"", "image/png", 422),
        (PNG[:-10], "image/png", 422),
        (picture(size=(15, 64)), "image/png", 422),
        (PNG + bytes(8 * 1024 * 1024), "image/png", 413),
    ],
)
async def test_what_is_no_picture_is_refused(
    house: Any, client: httpx.AsyncClient, content: bytes, media_type: str, status: int
) -> None:
    before = await count(house, uploads)
    answer = await client.post(URL, content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["errors"][0]["field"] == "body"
    assert await count(house, uploads) == before


async def test_while_the_store_is_away_nothing_is_accepted(
    house: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StorageFailed("away")

    monkeypatch.setattr(ObjectStore, "put", away)
    before = await count(house, jobs)
    answers = [
        await client.post(URL, content=PNG, headers={"Content-Type": "image/png"}),
        await client.post("/api/v1/generate", json=PROMPT | {"image": DATA_URL}),
    ]
    assert [(one.status_code, one.headers["retry-after"]) for one in answers] == [(503, "2"), (503, "2")]
    assert await count(house, jobs) == before


async def test_pictures_of_one_user_have_a_bound(
    house: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "UPLOAD_BYTES_MOST", len(PNG))
    await upload(client)
    answer = await client.post(URL, content=PNG, headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    before = await count(house, jobs)
    assert (await client.post("/api/v1/generate", json=PROMPT | {"image": DATA_URL})).status_code == 409
    assert await count(house, jobs) == before
