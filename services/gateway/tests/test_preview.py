"""Previews as viewers see them: WebSocket, server-sent events, the page; the preview service is a stand-in."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from edgecore_gateway.adapters import preview_client
from edgecore_gateway.domain.principal import Scope
from edgecore_runtime.ids import new_id
from edgecore_runtime.testing import eventually
from tests.standins.previews import Previews, made

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECONDS = 20.0


@pytest_asyncio.fixture(loop_scope="session")
async def previews(house: Any) -> AsyncIterator[Previews]:
    running = Previews(int(house.settings.preview_address.rpartition(":")[2]))
    await running.start()
    yield running
    await running.stop()


@asynccontextmanager
async def watching(
    client: httpx.AsyncClient, job_id: str, after: object = 0, **options: Any
) -> AsyncIterator[ClientConnection]:
    """A WebSocket of the client's user."""
    options = {"additional_headers": {"Authorization": client.headers["authorization"]}, "proxy": None} | options
    url = str(client.base_url).replace("http", "ws").rstrip("/")
    async with connect(f"{url}/api/v1/preview/{job_id}?after={after}", **options) as one:
        yield one


async def watched_by(client: httpx.AsyncClient, viewers: int) -> None:
    """Wait until the gateway counts so many; one whose handshake is done may still be on its way."""

    async def counted() -> bool:
        return f"edgecore_gateway_preview_viewers {viewers}.0" in (await client.get("/metrics")).text

    await eventually(counted)


async def message(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        found: dict[str, Any] = json.loads(await socket.recv())
    return found


async def rest(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Every message until the close, and its code."""
    found = []
    try:
        while True:
            found.append(await message(socket))
    except ConnectionClosed as closed:
        return found, closed.rcvd.code if closed.rcvd else 1006


async def narrow_socket(url: str) -> socket.socket:
    """Connected, with little room for what is not read."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.setblocking(False)
    await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", int(url.rpartition(":")[2])))
    return one


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str | None, dict[str, Any]]]:
    """(event, id, data) of a stream of server-sent events."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], fields.get("id"), json.loads(fields["data"])
            fields = {}


async def deliver(house: Any, kit: SimpleNamespace, job_id: str, versions: Iterable[int] = range(1, 6)) -> None:
    await house.tell(*(kit.changed(job_id, version) for version in versions))


async def test_frames_and_then_the_end(
    house: Any, client: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    async with watching(client, job_id) as viewer:
        await previews.put(made(job_id, 1))
        assert await message(viewer) == {
            "type": "frame",
            "number": 2**20 + 1,
            "attempt": 1,
            "step": 1,
            "steps": 1000,
            "frame": 3,
            "frames": 17,
            "width": 64,
            "height": 48,
            "media_type": "image/jpeg",
            "made_at": "2026-11-21T08:00:00.250Z",
            "skipped": 0,
            "data": base64.b64encode(b"1".ljust(2000, b".")).decode(),
        }
        await previews.put(made(job_id, 2))
        assert (await message(viewer))["step"] == 2
        await deliver(house, kit, job_id)
        assert await rest(viewer) == ([{"type": "end", "state": "DELIVERED"}], 1000)


async def test_a_failed_and_a_cancelled_job_end_too(
    house: Any, client: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    async with watching(client, job_id) as viewer:
        await house.tell(kit.changed(job_id, 1), kit.failed(job_id, 2))
        assert await rest(viewer) == ([{"type": "end", "state": "ERROR"}], 1000)


async def test_a_job_that_is_over_shows_its_last_frame_and_the_end(
    house: Any,
    client: httpx.AsyncClient,
    previews: Previews,
    kit: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preview_client, "SNAPSHOT_SECONDS", SECONDS)
    job_id = await kit.new_job(client)
    await previews.put(made(job_id, 7))
    await deliver(house, kit, job_id)
    await client.get(f"/api/v1/status/{job_id}?wait=20")
    for after, steps in ((0, [7]), (2**20 + 7, [])):
        async with watching(client, job_id, after=after) as viewer:
            found, code = await rest(viewer)
        assert [one["step"] for one in found[:-1]] == steps
        assert (found[-1], code) == ({"type": "end", "state": "DELIVERED"}, 1000)


async def test_a_viewer_comes_back_with_the_last_number(
    client: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    await previews.put(made(job_id, 1), made(job_id, 2))
    async with watching(client, job_id, after=2**20 + 1) as viewer:
        assert (await message(viewer))["number"] == 2**20 + 2


async def test_a_browsers_way_to_say_who_it_is(
    client: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    await previews.put(made(job_id, 1))
    key = client.headers["authorization"].removeprefix("Bearer ")
    offered = ["edgecore.v1", f"bearer.{key}"]
    async with watching(client, job_id, additional_headers={}, subprotocols=offered) as viewer:
        assert viewer.subprotocol == "edgecore.v1"
        assert (await message(viewer))["step"] == 1


async def test_another_users_job_is_not_found(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    await previews.put(made(job_id, 1))
    told = {"type": "error", "status": 404, "code": "not_found", "detail": "there is no such job"}
    for asked in (job_id, new_id("job"), "x", "job_%00"):
        async with watching(stranger, asked) as viewer:
            assert await rest(viewer) == ([told], 4404)
        answer = await stranger.get(f"/api/v1/preview/{asked}/stream")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert job_id not in [asked for asked, _ in previews.calls]


@pytest.mark.parametrize("offered", [None, ["edgecore.v1"], ["edgecore.v1", "bearer.edge_wrong"]])
async def test_without_a_valid_key(
    client: httpx.AsyncClient, kit: SimpleNamespace, offered: list[str] | None
) -> None:
    job_id = await kit.new_job(client)
    async with watching(client, job_id, additional_headers={}, subprotocols=offered) as viewer:
        (told,), code = await rest(viewer)
    assert (told["status"], told["code"], code) == (401, "unauthenticated", 4401)
    async with httpx.AsyncClient(base_url=client.base_url) as anyone:
        assert (await anyone.get(f"/api/v1/preview/{job_id}/stream")).status_code == 401


async def test_a_key_that_may_not_read(house: Any) -> None:
    async with house.new_caller(scopes=[Scope.GENERATE]) as writer:
        job_id = (await writer.post("/api/v1/generate", json={"prompt": "a star"})).json()["id"]
        async with watching(writer, job_id) as viewer:
            (told,), code = await rest(viewer)
        assert (told["code"], code) == ("forbidden", 4403)


@pytest.mark.parametrize("after", ["-1", "x", str(2**63), "٣"])
async def test_an_unusable_after(client: httpx.AsyncClient, kit: SimpleNamespace, after: str) -> None:
    job_id = await kit.new_job(client)
    async with watching(client, job_id, after=httpx.QueryParams({"": after})[""]) as viewer:
        (told,), code = await rest(viewer)
    assert (told["code"], code) == ("invalid_input", 4422)
    answer = await client.get(f"/api/v1/preview/{job_id}/stream", params={"after": after})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")


async def test_the_preview_service_goes_and_comes_back(
    house: Any, client: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    async with watching(client, job_id) as viewer:
        await previews.put(made(job_id, 1))
        assert (await message(viewer))["step"] == 1
        await previews.stop()
        await previews.put(made(job_id, 2))
        await previews.start()
        assert (await message(viewer))["step"] == 2
        assert (job_id, 2**20 + 1) in previews.calls  # asked for what it had not seen
        await previews.stop()
        await deliver(house, kit, job_id)
        assert await rest(viewer) == ([{"type": "end", "state": "DELIVERED"}], 1000)


async def test_the_end_comes_without_any_preview_service(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    async with watching(client, job_id) as viewer, client.stream("GET", f"/api/v1/preview/{job_id}/stream") as sse:
        await deliver(house, kit, job_id)
        assert await rest(viewer) == ([{"type": "end", "state": "DELIVERED"}], 1000)
        assert [one async for one in events(sse.aiter_lines())] == [
            ("end", None, {"type": "end", "state": "DELIVERED"})
        ]


async def test_server_sent_events(
    house: Any, client: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    await previews.put(made(job_id, 1), made(job_id, 2))
    url = f"/api/v1/preview/{job_id}/stream"
    async with client.stream("GET", url, headers={"Last-Event-ID": str(2**20 + 1)}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        found = events(answer.aiter_lines())
        event, number, data = await anext(found)
        assert (event, number, data["type"], data["step"]) == ("frame", str(2**20 + 2), "frame", 2)
        await deliver(house, kit, job_id)
        assert [one async for one in found] == [("end", None, {"type": "end", "state": "DELIVERED"})]
    async with client.stream("GET", url, params={"after": 2**20 + 2}, headers={"Last-Event-ID": "?"}) as answer:
        assert [event async for event, *_ in events(answer.aiter_lines())] == ["end"]


async def test_a_slow_viewer_gets_the_latest_and_holds_nobody_up(
    house: Any, client: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    async with (
        watching(client, job_id, sock=await narrow_socket(house.url), max_queue=1, compression=None) as slow,
        watching(client, job_id) as fast,
    ):
        last = 60
        seen = 0
        for count in range(1, last + 1):  # more than what sockets hold back on their way
            await previews.put(made(job_id, count, size=200_000))
            while seen < count:
                seen = (await message(fast))["step"]
        steps, skipped = [], 0
        while not steps or steps[-1] < last:
            one = await message(slow)
            steps.append(one["step"])
            skipped += one["skipped"]
        assert skipped > 0
        assert len(steps) + skipped == last
        assert steps == sorted(steps)


async def test_fifty_viewers(
    house: Any, client: httpx.AsyncClient, previews: Previews, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    last: list[int] = []
    """The step of the fifth frame, by viewer, those included that were left out."""

    async def watched() -> tuple[list[dict[str, Any]], int]:
        shown = 0
        async with watching(client, job_id) as viewer:
            while shown < 5:
                frame = await message(viewer)
                shown += 1 + frame["skipped"]
            last.append(frame["step"])
            return await rest(viewer)

    viewers = [asyncio.create_task(watched()) for _ in range(50)]
    await eventually(lambda: len([one for one, _ in previews.calls if one == job_id]) == 50)
    for count in range(1, 6):
        await previews.put(made(job_id, count, size=20_000))
    await eventually(lambda: last == [5] * 50)
    await deliver(house, kit, job_id)
    for answer in await asyncio.gather(*viewers):
        assert answer == ([{"type": "end", "state": "DELIVERED"}], 1000)


@pytest.mark.parametrize("most", [1, 5], ids=["every seat", "a fifth for one user"])
async def test_limits(parts: Any, kit: SimpleNamespace, tmp_path: Path, most: int) -> None:
    async with kit.alone(kit.settings_alone(tmp_path, preview_viewers_most=most)) as url:
        headers = {"Authorization": f"Bearer {(tmp_path / 'key').read_text().strip()}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            job_id = await kit.new_job(client)
            async with watching(client, job_id):
                await watched_by(client, 1)
                async with watching(client, job_id) as second:
                    (told,), code = await rest(second)
                assert (told["code"], code) == ("resource_exhausted", 4429)
                answer = await client.get(f"/api/v1/preview/{job_id}/stream")
                assert (answer.status_code, answer.json()["code"]) == (429, "resource_exhausted")


async def test_a_viewers_time_is_limited(parts: Any, kit: SimpleNamespace, tmp_path: Path) -> None:
    async with kit.alone(kit.settings_alone(tmp_path, preview_lifetime=1.0)) as url:
        headers = {"Authorization": f"Bearer {(tmp_path / 'key').read_text().strip()}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            job_id = await kit.new_job(client)
            async with watching(client, job_id) as viewer:
                assert await rest(viewer) == ([], 1012)  # its time is over: to be opened again
            async with client.stream("GET", f"/api/v1/preview/{job_id}/stream") as sse:
                assert [one async for one in events(sse.aiter_lines())] == []


async def test_a_viewer_that_takes_nothing_is_cut_off(
    parts: Any, previews: Previews, kit: SimpleNamespace, house: Any, tmp_path: Path
) -> None:
    address = house.settings.preview_address
    async with kit.alone(kit.settings_alone(tmp_path, preview_send_timeout=0.2, preview_address=address)) as url:
        headers = {"Authorization": f"Bearer {(tmp_path / 'key').read_text().strip()}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            job_id = await kit.new_job(client)
            options = {"sock": await narrow_socket(url), "max_queue": 1, "compression": None, "close_timeout": 0.1}
            async with watching(client, job_id, **options) as viewer:
                await previews.put(made(job_id, 1))
                await message(viewer)
                numbers = iter(range(2, 10_000))

                async def nobody_watches() -> bool:
                    await previews.put(made(job_id, next(numbers), size=200_000))
                    return "edgecore_gateway_preview_viewers 0.0" in (await client.get("/metrics")).text

                await eventually(nobody_watches)


async def test_the_page(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/preview/{new_id('job')}")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http://" not in answer.text
    assert "https://" not in answer.text
