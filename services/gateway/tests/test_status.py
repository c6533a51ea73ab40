"""Reading jobs: status, long poll, list, history, cancel, and whose they are."""

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from edgecore.scheduler.v1 import scheduler_pb2
from edgecore_contracts.states import JobState
from edgecore_gateway.adapters import live_progress
from edgecore_runtime.ids import new_id
from edgecore_runtime.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


def progress(state: JobState, **values: Any) -> scheduler_pb2.GetProgressResponse:
    # On the straight way every state has its version.
    return scheduler_pb2.GetProgressResponse(state=state.to_proto(), version=list(JobState).index(state), **values)


async def status_of(client: httpx.AsyncClient, job_id: str, **parameters: Any) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/status/{job_id}", params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def reach(client: httpx.AsyncClient, job_id: str, state: str, **live: Any) -> dict[str, Any]:
    """The status once it is so; what is `live` comes from the scheduler, which a busy machine may ask twice."""
    wanted = {"state": state, **live}

    async def there() -> dict[str, Any] | None:
        seen = await status_of(client, job_id)
        return seen if wanted.items() <= seen.items() else None

    found = await eventually(there)
    assert found is not None
    return found


async def test_a_job_from_accepted_to_delivered(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    await house.tell(*(kit.changed(job_id, version) for version in range(1, 6)), kit.ended(job_id))
    done = await status_of(client, job_id, wait=20)
    assert (done["state"], done["version"], done["progress"]) == ("DELIVERED", 5, 1.0)
    assert done["video_url"] == f"/api/v1/jobs/{job_id}/video"
    assert done["finished_at"] == "2026-11-21T08:00:05.000Z"

    async def attempt_ended() -> Any:
        (attempt,) = (await status_of(client, job_id))["attempts"]
        return attempt if attempt["finished_at"] else None

    assert await eventually(attempt_ended) == {
        "attempt": 1,
        "node": "node-0",
        "outcome": "SUCCEEDED",
        "reason": "COMPLETED",
        "started_at": "2026-11-21T08:00:02.000Z",
        "finished_at": "2026-11-21T08:00:09.000Z",
        "measured_seconds": 3.0,
    }
    history = (await client.get(f"/api/v1/jobs/{job_id}/events")).json()["data"]
    assert [(one["version"], one["from"], one["to"]) for one in history] == [
        (1, "INIT", "QUEUED"),
        (2, "QUEUED", "ALLOCATED"),
        (3, "ALLOCATED", "GENERATING"),
        (4, "GENERATING", "FINALIZING"),
        (5, "FINALIZING", "DELIVERED"),
    ]
    assert (await client.get(f"/api/v1/jobs/{job_id}")).json() == await status_of(client, job_id)


async def test_a_failed_job_says_why(house: Any, client: httpx.AsyncClient, kit: SimpleNamespace) -> None:
    job_id = await kit.new_job(client)
    await house.tell(kit.changed(job_id, 1), kit.failed(job_id, 2))
    seen = await reach(client, job_id, "ERROR")
    assert seen["error"] == {"code": "OUT_OF_MEMORY", "message": "three attempts ran out of memory"}
    assert seen["video_url"] is None


async def test_an_etag_spares_the_body(client: httpx.AsyncClient, kit: SimpleNamespace) -> None:
    job_id = await kit.new_job(client)
    first = await client.get(f"/api/v1/status/{job_id}")
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', "*"):
        again = await client.get(f"/api/v1/status/{job_id}", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await client.get(f"/api/v1/status/{job_id}", headers={"If-None-Match": '"x"'})).status_code == 200


async def test_a_long_poll_with_a_tag_ends_with_every_step(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    house.scheduler.known[job_id] = progress(
        JobState.GENERATING, stage=scheduler_pb2.STAGE_SAMPLING, step=1, steps=20
    )
    await house.tell(*(kit.changed(job_id, version) for version in (1, 2, 3)))
    await reach(client, job_id, "GENERATING", stage="sampling", step=1)
    first = await client.get(f"/api/v1/status/{job_id}")
    assert (first.json()["stage"], first.json()["step"]) == ("sampling", 1)
    tag = {"If-None-Match": first.headers["etag"]}
    waiting = asyncio.create_task(client.get(f"/api/v1/status/{job_id}?wait=20", headers=tag))
    house.scheduler.known[job_id] = progress(
        JobState.GENERATING, stage=scheduler_pb2.STAGE_SAMPLING, step=2, steps=20
    )
    second = await waiting
    assert (second.status_code, second.json()["step"], second.json()["progress"]) == (200, 2, 0.135)
    tag = {"If-None-Match": second.headers["etag"]}
    assert (await client.get(f"/api/v1/status/{job_id}?wait=0.3", headers=tag)).status_code == 304


async def test_the_place_in_the_queue_is_shown(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    answer = progress(JobState.QUEUED, queue_position=3)
    answer.eta.FromMilliseconds(4500)
    house.scheduler.known[job_id] = answer
    await house.tell(kit.changed(job_id, 1))
    seen = await reach(client, job_id, "QUEUED", queue_position=3)
    assert (seen["queue_position"], seen["eta_seconds"]) == (3, 4.5)


async def test_many_readers_ask_the_scheduler_seldom(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_progress, "KEEP_SECONDS", 60.0)
    monkeypatch.setattr(live_progress, "CALL_SECONDS", 20.0)
    job_id = await kit.new_job(client)
    house.scheduler.known[job_id] = progress(JobState.QUEUED, queue_position=3)
    await house.tell(kit.changed(job_id, 1))
    await reach(client, job_id, "QUEUED", queue_position=3)
    await asyncio.gather(*(client.get(f"/api/v1/status/{job_id}") for _ in range(40)))
    assert house.scheduler.calls[job_id] == 1


async def test_a_wait_ends_after_its_time(client: httpx.AsyncClient, kit: SimpleNamespace) -> None:
    job_id = await kit.new_job(client)
    assert (await status_of(client, job_id, wait=0.2))["state"] == "INIT"


@pytest.mark.parametrize("wait", ["-1", "61", "x", "nan", "inf"])
async def test_an_unusable_wait(client: httpx.AsyncClient, wait: str) -> None:
    answer = await client.get(f"/api/v1/status/{new_id('job')}", params={"wait": wait})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "wait")


UNKNOWN = [
    "job_00000000000000000000000000",
    "x",
    "job_",
    "job_%00",
    "..%2f",
    "job_01M7Y7RZB4KJ797QVKKZ0BK7V%F0",
    "%ff",
    "a" * 5000,
]
ROUTES = [
    ("GET", "/api/v1/status/{}"),
    ("GET", "/api/v1/jobs/{}"),
    ("GET", "/api/v1/jobs/{}/events"),
    ("GET", "/api/v1/jobs/{}/video"),
    ("POST", "/api/v1/jobs/{}/cancel"),
]


@pytest.mark.parametrize(("method", "route"), ROUTES)
async def test_another_users_job_is_not_found(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, kit: SimpleNamespace, method: str, route: str
) -> None:
    job_id = await kit.new_job(client)
    answer = await stranger.request(method, route.format(job_id))
    unknown = await stranger.request(method, route.format(new_id("job")))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json() == unknown.json()
    async with httpx.AsyncClient(base_url=client.base_url) as anyone:
        assert (await anyone.request(method, route.format(job_id))).status_code == 401


@pytest.mark.parametrize(("method", "route"), ROUTES)
@pytest.mark.parametrize("job_id", UNKNOWN)
async def test_an_unknown_job(client: httpx.AsyncClient, method: str, route: str, job_id: str) -> None:
    answer = await client.request(method, route.format(job_id))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_list_is_paged_newest_first(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    made = [await kit.new_job(client) for _ in range(5)]
    await kit.new_job(stranger)
    found: list[str] = []
    page = {"has_more": True, "next": None}
    while page["has_more"]:
        parameters = {"limit": 2} | ({"after": page["next"]} if page["next"] else {})
        page = (await client.get("/api/v1/jobs", params=parameters)).json()
        found += [one["id"] for one in page["data"]]
    assert found == sorted(made, reverse=True)
    assert page["next"] is None


async def test_the_list_by_state(house: Any, client: httpx.AsyncClient, kit: SimpleNamespace) -> None:
    job_id = await kit.new_job(client)
    other = await kit.new_job(client)
    await house.tell(kit.changed(job_id, 1))
    await reach(client, job_id, "QUEUED")

    async def ids(state: str) -> list[str]:
        return [one["id"] for one in (await client.get("/api/v1/jobs", params={"state": state})).json()["data"]]

    assert (await ids("QUEUED"), await ids("INIT"), await ids("ERROR")) == ([job_id], [other], [])


@pytest.mark.parametrize(
    ("parameters", "field", "nearest"),
    [
        ({"limit": 0}, "limit", 1),
        ({"limit": 101}, "limit", 100),
        ({"limit": "x"}, "limit", None),
        ({"state": "queued"}, "state", "QUEUED"),
        ({"state": "\0"}, "state", None),
        ({"after": "x"}, "after", None),
        ({"after": "\0"}, "after", None),
    ],
)
async def test_an_unusable_list_parameter(
    client: httpx.AsyncClient, parameters: dict[str, Any], field: str, nearest: object
) -> None:
    answer = await client.get("/api/v1/jobs", params=parameters)
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["field"], problem.get("nearest")) == (field, nearest)


async def test_cancel_is_sent_once_and_ends_the_job(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    answers = await asyncio.gather(*(client.post(f"/api/v1/jobs/{job_id}/cancel") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}

    async def both() -> bool:
        return [one.type for one in await house.commands(job_id)] == [
            "edgecore.jobs.v1.GenerateVideo",
            "edgecore.jobs.v1.CancelJob",
        ]

    await eventually(both)
    gone = kit.changed(job_id, 1)
    gone.to = JobState.CANCELLED.to_proto()
    await house.tell(gone)
    seen = await reach(client, job_id, "CANCELLED")
    assert seen["error"] is None
    assert (await client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200


async def test_a_job_that_is_over_cannot_be_cancelled(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    await house.tell(kit.changed(job_id, 1), kit.failed(job_id, 2))
    await reach(client, job_id, "ERROR")
    answer = await client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "ERROR" in answer.json()["detail"]
