"""LoRA adapters over a real port: added, listed, used in jobs, deleted."""

import asyncio
import hashlib
import json
import struct
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from edgecore_gateway.adapters import lora_adapters as rows
from edgecore_gateway.adapters.tables import audit, jobs, lora_adapters
from edgecore_gateway.entrypoints import lora_adapters as routes
from edgecore_gateway.entrypoints.pruning import prune_files
from edgecore_gateway.entrypoints.request_body import save
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.ids import new_id
from edgecore_runtime.objects import ObjectStore, StorageFailed
from edgecore_runtime.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

URL = "/api/v1/adapters"
PROMPT = {"prompt": "a zorp circle"}
BINARY = {"Content-Type": "application/octet-stream"}


def adapter_file(name: str = "style", base: str = "nano") -> bytes:
    """One layer of rank 2, written as the model's library does; test_adapter_file.py keeps the two equal."""
    shapes = {"text.0.down": (2, 8), "text.0.up": (12, 2)}
    tensors, entries = b"", {}
    config = {
        "format": "edgecore-aiprod-lora/1",
        "name": name,
        "rank": 2,
        "alpha": 4.0,
        "base": base,
        "base_sha256": "ab" * 32,
        "layers": ["text.0"],
        "triggers": ["zorp"],
        "hint": "a zorp circle",
    }
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for tensor, shape in shapes.items():
        data = bytes(shape[0] * shape[1] * 2)
        digest.update(f"{tensor} torch.float16 {shape}".encode() + data)
        entries[tensor] = {
            "dtype": "F16",
            "shape": shape,
            "data_offsets": [len(tensors), len(tensors) + len(data)],
        }
        tensors += data
    text = json.dumps(config | {"sha256": digest.hexdigest()})
    header = json.dumps({"__metadata__": {"config": text}, **entries}).encode()
    return struct.pack("<Q", len(header)) + header + tensors


FILE = adapter_file()


async def add(client: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    answer = await client.post(URL, params=query, content=FILE, headers=BINARY)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def prune(house: Any) -> None:
    await prune_files(house.database, ObjectStore(house.settings.object_store_url), SystemClock())


async def expire(house: Any, adapter_id: str) -> None:
    long_ago = SystemClock().now() - timedelta(days=1)
    async with house.database.transaction() as session:
        changed = update(lora_adapters).where(lora_adapters.c.id == adapter_id)
        await session.execute(changed.values(expires_at=long_ago))


async def test_an_adapter_is_kept_and_shown(house: Any, client: httpx.AsyncClient) -> None:
    made = await add(client)
    assert made | {"created_at": ""} == {
        "id": made["id"],
        "name": "style",
        "base": "nano",
        "rank": 2,
        "alpha": 4.0,
        "triggers": ["zorp"],
        "hint": "a zorp circle",
        "size_bytes": len(FILE),
        "sha256": hashlib.sha256(FILE).hexdigest(),
        "created_at": "",
    }
    assert (await client.get(f"{URL}/{made['id']}")).json() == made
    assert (house.artifacts / "adapters" / f"{made['id']}.safetensors").read_bytes() == FILE
    async with house.database.reading() as session:
        row = (await session.execute(select(audit).where(audit.c.target == made["id"]))).one()
    assert (row.action, row.outcome) == ("adapter.create", "done")


async def test_adapters_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    made = [await add(client, name=f"style-{number}") for number in range(3)]
    first = (await client.get(URL, params={"limit": 2})).json()
    assert [one["name"] for one in first["data"]] == ["style-2", "style-1"]
    assert (first["has_more"], first["next"]) == (True, made[1]["id"])
    rest = (await client.get(URL, params={"after": first["next"]})).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([made[0]["id"]], False)
    assert (await client.get(URL, params={"after": "x"})).status_code == 422


async def test_a_job_uses_adapters(house: Any, client: httpx.AsyncClient) -> None:
    one, two = await add(client), await add(client)
    body = PROMPT | {"adapters": [{"id": two["id"], "scale": -0.5}, {"id": one["id"]}]}
    job = (await client.post("/api/v1/generate", json=body)).json()
    assert job["spec"]["adapters"] == [{"id": two["id"], "scale": -0.5}, {"id": one["id"], "scale": 1.0}]
    (command,) = await eventually(lambda: house.commands(job["id"]))
    used = [(use.id, use.key, use.sha256, use.scale) for use in command.message.spec.adapters]
    assert used == [
        (two["id"], f"adapters/{two['id']}.safetensors", two["sha256"], -0.5),
        (one["id"], f"adapters/{one['id']}.safetensors", one["sha256"], 1.0),
    ]
    assert command.message.fallback is False


async def test_another_users_adapter_is_unknown(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    made = await add(client)
    answer = await stranger.post(
        "/api/v1/generate", json=PROMPT | {"adapters": [{"id": made["id"]}], "image": f"upl_{'0' * 26}"}
    )
    assert {one["field"] for one in answer.json()["errors"]} == {"adapters", "image"}
    assert made["id"] in answer.text
    for method in ("GET", "DELETE"):
        assert (await stranger.request(method, f"{URL}/{made['id']}")).status_code == 404
        assert (await client.request(method, f"{URL}/nothing")).status_code == 404
    assert (await stranger.get(URL)).json()["data"] == []
    assert (await client.get(f"{URL}/{made['id']}")).status_code == 200


async def test_a_deleted_adapter_stays_for_the_job_that_has_it(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    made = await add(client)
    file = house.artifacts / "adapters" / f"{made['id']}.safetensors"
    job_id = await kit.new_job(client, adapters=[{"id": made["id"]}])
    assert (await client.delete(f"{URL}/{made['id']}")).status_code == 204
    assert (await client.delete(f"{URL}/{made['id']}")).status_code == 404
    refused = await client.post("/api/v1/generate", json=PROMPT | {"adapters": [{"id": made["id"]}]})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "adapters")
    await expire(house, made["id"])
    await prune(house)
    assert file.exists()
    async with house.database.transaction() as session:
        await session.execute(update(jobs).where(jobs.c.id == job_id).values(state="ERROR"))
    await prune(house)
    assert not file.exists()


async def test_an_adapter_whose_file_never_came_goes(house: Any, client: httpx.AsyncClient) -> None:
    me = (await client.get("/api/v1/auth/me")).json()["id"]
    adapter_id, long_ago = new_id("lora"), SystemClock().now() - timedelta(days=1)
    async with house.database.transaction() as session:
        values = {"name": "x", "base": "nano", "rank": 1, "alpha": 1.0, "triggers": [], "hint": ""}
        times = {"created_at": long_ago, "expires_at": long_ago}
        await rows.add(session, id=adapter_id, user_id=me, size_bytes=1, sha256="", **values, **times)
    assert (await client.get(URL)).json()["data"] == []
    await prune(house)
    async with house.database.reading() as session:
        assert await rows.count(session, me) == 0


@pytest.mark.parametrize(
    ("content", "headers", "query", "status", "field"),
    [
        (b"", BINARY, {}, 422, "body"),
        (b"x" * 1000, BINARY, {}, 422, "body"),
        (FILE[:-1], BINARY, {}, 422, "body"),
        (adapter_file(base="large"), BINARY, {}, 422, "body"),
        (FILE, BINARY, {"name": "a b"}, 422, "name"),
        (FILE, BINARY, {"name": ""}, 422, "name"),
        (FILE, {"Content-Type": "application/json"}, {}, 415, None),
        (FILE, BINARY | {"Content-Encoding": "gzip"}, {}, 415, None),
    ],
)
async def test_what_is_no_adapter_is_refused(
    client: httpx.AsyncClient,
    content: bytes,
    headers: dict[str, str],
    query: dict[str, str],
    status: int,
    field: str | None,
) -> None:
    answer = await client.post(URL, params=query, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    if field is not None:
        assert answer.json()["errors"][0]["field"] == field
    assert (await client.get(URL)).json()["data"] == []


async def test_while_the_store_is_away_nothing_is_added(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StorageFailed("away")

    monkeypatch.setattr(ObjectStore, "put", away)
    assert (await client.post(URL, content=FILE, headers=BINARY)).status_code == 503
    assert (await client.get(URL)).json()["data"] == []


async def test_a_file_over_the_limit(client: httpx.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(65):
            yield bytes(1024 * 1024)

    answer = await client.post(URL, content=chunks(), headers=BINARY)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_a_slow_sender_keeps_himself_waiting_alone(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving, go_on = asyncio.Event(), asyncio.Event()

    async def save_and_tell(*arguments: Any) -> tuple[int, str]:
        arriving.set()
        return await save(*arguments)

    async def slowly() -> Any:
        yield FILE[:10]
        await go_on.wait()
        yield FILE[10:]

    # Only the one who receives knows when a file begins to arrive: a question sent before would take its place.
    monkeypatch.setattr(routes, "save", save_and_tell)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(client.post(URL, content=slowly(), headers=BINARY))
        await arriving.wait()
        second = await client.post(URL, content=FILE, headers=BINARY)
        assert (second.status_code, second.json()["code"]) == (503, "unavailable")
        assert second.headers["retry-after"] == "2"
        await add(stranger)
        go_on.set()
    assert first.result().status_code == 201
    await add(client)


async def test_adapters_of_one_user_have_a_bound(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "ADAPTERS_MOST", 1)
    await add(client)
    answer = await client.post(URL, content=FILE, headers=BINARY)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_key_that_only_reads_adds_nothing(house: Any, client: httpx.AsyncClient) -> None:
    made = (await client.post("/api/v1/keys", json={"name": "reader", "scopes": ["read"]})).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert (await client.post(URL, content=FILE, headers=headers | BINARY)).status_code == 403
    png = headers | {"Content-Type": "image/png"}
    assert (await client.post("/api/v1/uploads", content=b"x", headers=png)).status_code == 403
    assert (await client.get(URL, headers=headers)).status_code == 200
