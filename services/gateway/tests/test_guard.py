"""Every route asks who calls, and no route shows one tenant's objects to another."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import BaseRoute
from websockets.asyncio.client import connect

from edgecore_gateway.bootstrap import build
from edgecore_runtime.http import HttpServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

OPEN = {"/api/v1/auth/login", "/api/v1/auth/refresh"}
"""One signs in there, with what the body holds."""


def leaves(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from leaves(inner.routes)


def api_routes(house: Any) -> list[BaseRoute]:
    server = build(house.settings).components[-1]
    assert isinstance(server, HttpServer)
    found = [one for one in leaves(server._app.routes) if getattr(one, "path", "").startswith("/api")]
    assert len(found) > 15
    return found


def calls(house: Any) -> list[tuple[str, str]]:
    """Method and path of every route of the API, HEAD and OPTIONS left out."""
    return [
        (method, route.path)
        for route in api_routes(house)
        if isinstance(route, APIRoute)
        for method in sorted(route.methods - {"HEAD", "OPTIONS"})
    ]


async def test_no_route_answers_a_stranger(house: Any) -> None:
    async with httpx.AsyncClient(base_url=house.url, timeout=20) as anyone:
        for method, path in calls(house):
            if path in OPEN:
                continue
            for headers in ({}, {"Authorization": "Bearer e30.e30.e30"}, {"Authorization": "Basic YTpi"}):
                answer = await anyone.request(method, path.replace("{", "").replace("}", ""), headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (method, path)


async def test_no_web_socket_answers_a_stranger(house: Any) -> None:
    for route in api_routes(house):
        if isinstance(route, APIWebSocketRoute):
            url = house.url.replace("http", "ws") + route.path.replace("{", "").replace("}", "")
            async with connect(url) as socket:
                first = json.loads(await socket.recv())
                assert (first["type"], first["code"]) == ("error", "unauthenticated"), route.path
                await socket.wait_closed()
            assert socket.close_code == 4401, route.path


async def test_every_route_of_a_job_is_closed_to_other_tenants(
    house: Any, client: httpx.AsyncClient, stranger: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    of_a_job = [(method, path) for method, path in calls(house) if "{job_id}" in path]
    assert len(of_a_job) >= 5
    for method, path in of_a_job:
        answer = await stranger.request(method, path.replace("{job_id}", job_id))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path)
    assert (await client.get(f"/api/v1/jobs/{job_id}")).status_code == 200


async def test_every_administrators_route_is_closed_to_users(house: Any, client: httpx.AsyncClient) -> None:
    closed = [(method, path) for method, path in calls(house) if path.startswith("/api/v1/admin/")]
    assert len(closed) >= 4
    for method, path in closed:
        answer = await client.request(method, path.replace("{", "").replace("}", ""))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)
