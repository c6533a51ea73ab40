"""POST /api/v1/generate over a real port, on a real database and broker."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from edgecore_gateway.adapters.tables import jobs
from edgecore_runtime.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

URL = "/api/v1/generate"
PROMPT = {"prompt": "a red circle moving right"}
JSON = {"Content-Type": "application/json"}


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert {"type", "title", "detail", "code"} <= body.keys()
    return body


async def test_a_job_is_accepted_stored_and_sent(house: Any, client: httpx.AsyncClient) -> None:
    request = PROMPT | {"seconds": 2, "seed": 2**63 - 1, "metadata": {"who": "é"}, "fps": 12, "width": 96}
    answer = await client.post(URL, params={"format": "mp4"}, json=request)
    assert answer.status_code == 202
    job = answer.json()
    assert job["state"] == "INIT"
    assert job["metadata"] == {"who": "é"}
    assert (job["spec"]["frames"], job["spec"]["seed"]) == (25, 2**63 - 1)
    assert answer.headers["location"] == job["status_url"]
    assert len(answer.headers["x-trace-id"]) == 32
    again = (await client.get(job["status_url"])).json()
    assert again == job
    (command,) = await eventually(lambda: house.commands(job["id"]))
    assert command.type == "edgecore.jobs.v1.GenerateVideo"
    assert (command.message.spec.frames, command.message.spec.seed) == (25, 2**63 - 1)
    assert command.trace_context["traceparent"].split("-")[1] == answer.headers["x-trace-id"]


async def test_a_random_seed_is_chosen_and_shown(client: httpx.AsyncClient) -> None:
    seeds = {(await client.post(URL, json=PROMPT)).json()["spec"]["seed"] for _ in range(3)}
    assert len(seeds) == 3


async def test_broken_rules_are_all_named(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json={"prompt": "x", "width": 65, "hieght": 64, "audio": True})
    problem = problem_of(answer, 422)
    assert problem["code"] == "invalid_input"
    assert {one["field"]: one.get("nearest") for one in problem["errors"]} == {
        "width": 64,
        "hieght": "height",
        "audio": None,
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"prompt": "\xff"}', 400),
        (b'{"prompt": "a", "prompt": "b"}', 400),
        (b'{"prompt": "a", "guidance": NaN}', 400),
        (b'{"prompt": "a", "guidance": Infinity}', 400),
        (b"[" * 500_000, 400),
        (b'{"prompt": "a", "seed": ' + b"9" * 10_000 + b"}", 400),
        (b'{"prompt": "a", "guidance": 1e999}', 422),
        (b'{"prompt": "a\\u0000b"}', 422),
        (b'{"prompt": "a\\ud800b"}', 422),
        (b'{"prompt": "a", "\\ud800": 1}', 422),
        (b'{"prompt": "a", "metadata": {"\\udfff": "x"}}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"a red circle"', 422),
        (b'{"prompt": ' + b"[" * 500 + b"]" * 500 + b"}", 422),
    ],
)
async def test_a_bad_body(client: httpx.AsyncClient, body: bytes, status: int) -> None:
    problem_of(await client.post(URL, content=body, headers=JSON), status)


async def test_a_body_over_the_limit(client: httpx.AsyncClient) -> None:
    assert (
        problem_of(await client.post(URL, json={"prompt": "x" * 13_000_000}), 413)["code"] == "payload_too_large"
    )

    async def chunks() -> Any:
        for _ in range(1300):
            yield b"x" * 10_000

    problem_of(await client.post(URL, content=chunks(), headers=JSON), 413)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
async def test_another_content_type(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    problem_of(await client.post(URL, content=json.dumps(PROMPT).encode(), headers=headers), 415)


async def test_an_unknown_format(client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.post(URL, params={"format": "gif"}, json=PROMPT), 422)
    assert problem["errors"][0]["nearest"] == ["mp4"]
    problem_of(await client.post(URL, params={"format": "webm"}, json=PROMPT | {"formats": ["mp4"]}), 422)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Basic dXNlcjpwYXNz", "Bearer edge_" + "a" * 49, "Bearer \xff"],
)
async def test_without_a_valid_key(house: Any, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    async with httpx.AsyncClient(base_url=house.url) as anyone:
        answer = await anyone.post(URL, json=PROMPT, headers=headers)
    assert problem_of(answer, 401)["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_same_idempotency_key_is_the_same_job(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "once"}
    first = await client.post(URL, json=PROMPT, headers=key)
    again = await client.post(URL, content=b' {"prompt":"a red circle moving right"}', headers=key | JSON)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    problem_of(await client.post(URL, json=PROMPT | {"steps": 3}, headers=key), 409)
    assert (await stranger.post(URL, json=PROMPT, headers=key)).json()["id"] != first.json()["id"]


async def test_concurrent_repetitions_make_one_job(house: Any, client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "at once"}
    answers = await asyncio.gather(*(client.post(URL, json=PROMPT, headers=key) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert len((await client.get("/api/v1/jobs")).json()["data"]) == 1
    assert len(await eventually(lambda: house.commands(job_id))) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb"])
async def test_an_unusable_idempotency_key(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post(URL, json=PROMPT, headers={"Idempotency-Key": key.encode("latin-1")})
    assert problem_of(answer, 422)["errors"][0]["field"] == "Idempotency-Key"


async def test_prefer_wait_answers_when_it_is_over(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    asked = asyncio.create_task(client.post(URL, json=PROMPT, headers={"Prefer": "respond-async, wait=25"}))

    async def accepted() -> Any:
        return (await client.get("/api/v1/jobs")).json()["data"]

    (job,) = await eventually(accepted)
    await house.tell(*(kit.changed(job["id"], version) for version in range(1, 6)))
    answer = await asked
    assert (answer.status_code, answer.json()["state"]) == (200, "DELIVERED")
    assert answer.headers["preference-applied"] == "wait=25"


async def test_prefer_wait_ends_with_what_is_known(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json=PROMPT, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["state"]) == (202, "INIT")


async def test_a_refused_request_stores_nothing(house: Any, client: httpx.AsyncClient) -> None:
    async def count() -> int:
        async with house.database.reading() as session:
            return int((await session.execute(select(func.count()).select_from(jobs))).scalar_one())

    before = await count()
    problem_of(await client.post(URL, json=PROMPT | {"steps": 0}, headers={"Idempotency-Key": "refused"}), 422)
    assert await count() == before
    assert (await client.post(URL, json=PROMPT, headers={"Idempotency-Key": "refused"})).status_code == 202
