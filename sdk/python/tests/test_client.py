"""The client against a transport that answers what a gateway would."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina

from edgecore_sdk import (
    BudgetExceeded,
    Client,
    DownloadFailed,
    Invalid,
    JobFailed,
    NotFound,
    RateLimited,
    ServerFault,
    Unauthorized,
    Unreachable,
    WaitTimeout,
)

Answer = Callable[[httpx.Request], httpx.Response]

QUEUED = {"id": "j1", "state": "QUEUED", "version": 2, "progress": 0.0, "queue_position": 1}
DELIVERED = {
    "id": "j1",
    "state": "DELIVERED",
    "version": 6,
    "progress": 1.0,
    "attempts": [{"attempt": 1, "node": "local-0", "outcome": "SUCCEEDED", "measured_seconds": 2.5}],
    "video_url": "/api/v1/jobs/j1/video",
    "created_at": "2026-11-20T10:00:00.125Z",
    "finished_at": "2026-11-20T10:00:04+00:00",
    "a_field_of_tomorrow": True,
}


@pytest.fixture(autouse=True)
def _no_waiting_between_tries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


class Server:
    """Answers in turn (the last one again and again) and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def client(self) -> Client:
        return Client("http://gateway", "edge_key", transport=httpx.MockTransport(self))


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers={n.replace("_", "-"): v for n, v in headers.items()})


def test_generate_sends_what_is_given_and_nothing_else() -> None:
    server = Server(answer({"id": "j1", "state": "INIT", "status_url": "/api/v1/status/j1"}, 202))
    with server.client as client:
        job = client.generate("a red circle", seed=7, width=None)
    [request] = server.requests
    assert (job.id, job.state, job.ended) == ("j1", "INIT", False)
    assert json.loads(request.content) == {"prompt": "a red circle", "seed": 7}
    assert request.headers["authorization"] == "Bearer edge_key"
    assert len(request.headers["idempotency-key"]) == 36


def test_a_job_is_parsed_whole() -> None:
    with Server(answer(DELIVERED)).client as client:
        job = client.status("j1")
    assert job.attempts[0].measured_seconds == 2.5
    assert job.created_at is not None
    assert job.finished_at is not None
    assert (job.finished_at - job.created_at).total_seconds() == 3.875


def test_an_id_is_one_segment_of_the_path_whatever_it_is() -> None:
    server = Server(answer(QUEUED))
    with server.client as client:
        client.status("../keys?x=1")
    assert server.requests[0].url.raw_path == b"/api/v1/status/..%2Fkeys%3Fx%3D1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthorized), (402, BudgetExceeded), (404, NotFound), (413, Invalid), (500, ServerFault)],
)
def test_problems_become_errors(status: int, kind: type[Exception]) -> None:
    problem = {"type": "about:blank", "title": "No", "status": status, "detail": "not so", "code": "no"}
    with Server(answer(problem, status)).client as client, pytest.raises(kind, match="not so"):
        client.status("j1")


def test_an_invalid_field_comes_with_the_nearest_value() -> None:
    errors = [{"field": "frames", "rule": "8k + 1", "nearest": 17}, {"field": "prompt", "rule": "not empty"}]
    server = Server(answer({"detail": "the request is not valid", "code": "invalid", "errors": errors}, 422))
    with server.client as client, pytest.raises(Invalid) as raised:
        client.generate("", frames=18)
    assert raised.value.errors[0].nearest == 17
    assert str(raised.value) == "frames: 8k + 1 (nearest: 17); prompt: not empty"


def test_a_rate_limit_says_when_to_come_back() -> None:
    server = Server(answer({"detail": "slow down"}, 429, retry_after="3"))
    with server.client as client, pytest.raises(RateLimited) as raised:
        client.status("j1")
    assert raised.value.retry_after_s == 3.0


@pytest.mark.parametrize("body", [b"<html>proxy</html>", b"[]", b"{}", b'{"id": "j1", "state": null'])
def test_an_answer_that_is_not_the_apis_is_told(body: bytes) -> None:
    server = Server(httpx.Response(200, content=body))
    with server.client as client, pytest.raises(ServerFault, match="not what the API promises"):
        client.status("j1")


def test_a_problem_without_a_document_is_told_by_its_status() -> None:
    server = Server(httpx.Response(502, text="bad gateway"))
    with server.client as client, pytest.raises(ServerFault, match="the API answered 502"):
        client.status("j1")


def test_what_was_never_sent_is_repeated() -> None:
    server = Server(httpx.ConnectError("refused"), answer({}, 503), answer(QUEUED, 202))
    with server.client as client:
        assert client.generate("a star").id == "j1"
    assert len(server.requests) == 3
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_repeating_has_a_limit() -> None:
    server = Server(httpx.ConnectError("refused"))
    with server.client as client, pytest.raises(Unreachable, match="no answer from http://gateway"):
        client.status("j1")
    assert len(server.requests) == 6


def test_a_submission_whose_fate_is_unknown_is_not_repeated() -> None:
    server = Server(httpx.ReadError("reset"))
    with server.client as client, pytest.raises(Unreachable, match="unknown"):
        client.generate("a star")
    assert len(server.requests) == 1


def test_progress_is_asked_for_by_what_was_seen() -> None:
    server = Server(answer(QUEUED, etag='W/"1"'), httpx.Response(304), answer(DELIVERED, etag='W/"2"'))
    with server.client as client:
        client.wait("j1", timeout_s=30, on_progress=lambda job: None)
    assert [request.headers.get("if-none-match") for request in server.requests] == [None, 'W/"1"', 'W/"1"']


def test_wait_rides_over_a_restart_of_the_gateway() -> None:
    server = Server(answer(QUEUED), httpx.ReadError("reset"), httpx.ConnectError("refused"), answer(DELIVERED))
    seen = []
    with server.client as client:
        job = client.wait("j1", timeout_s=30, on_progress=lambda job: seen.append(job.state))
    assert job.state == "DELIVERED"
    assert seen == ["QUEUED", "DELIVERED"]
    assert server.requests[-1].url.params["wait"] == "20"


def test_wait_raises_when_the_job_ends_badly() -> None:
    error = {"code": "QUALITY", "message": "the picture was blank"}
    server = Server(answer({"id": "j1", "state": "ERROR", "error": error}))
    with server.client as client, pytest.raises(JobFailed, match="the picture was blank") as raised:
        client.wait("j1")
    assert raised.value.job.error is not None


def test_wait_has_an_end() -> None:
    with Server(answer(QUEUED)).client as client, pytest.raises(WaitTimeout, match="it goes on"):
        client.wait("j1", timeout_s=0.0)


def test_all_jobs_follows_the_cursor() -> None:
    server = Server(
        answer({"data": [QUEUED], "has_more": True, "next": "c1"}),
        answer({"data": [DELIVERED], "has_more": False, "next": None}),
    )
    with server.client as client:
        assert [job.state for job in client.all_jobs()] == ["QUEUED", "DELIVERED"]
    assert server.requests[1].url.params["after"] == "c1"


def test_a_download_is_whole(tmp_path: Path) -> None:
    with Server(httpx.Response(200, content=b"video")).client as client:
        path = client.download("j1", tmp_path / "out.mp4")
    assert path.read_bytes() == b"video"
    assert list(tmp_path.iterdir()) == [path]


class Torn(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b"half a "
        raise httpx.ReadError("reset")


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (httpx.Response(200, stream=Torn()), DownloadFailed),
        (httpx.Response(200, content=b"cut", headers={"content-length": "9"}), DownloadFailed),
        (answer({"detail": "not delivered yet", "code": "not_ready"}, 404), NotFound),
    ],
    ids=["broken", "short", "refused"],
)
def test_a_download_that_fails_leaves_what_was_there(
    tmp_path: Path, response: httpx.Response, kind: type[Exception]
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"the older one")
    with Server(response).client as client, pytest.raises(kind):
        client.download("j1", out)
    assert out.read_bytes() == b"the older one"
    assert list(tmp_path.iterdir()) == [out]


KEY = {"id": "key_1", "name": "x", "scopes": ["read"], "shown": "edge_abcde", "created_at": "2026-11-20T10:00:00Z"}


def test_keys_are_made_listed_and_revoked() -> None:
    server = Server(
        answer(KEY | {"key": "edge_secret"}, 201),
        answer({"data": [KEY]}),
        httpx.Response(204),
        answer({"detail": "you have no such API key", "code": "not_found"}, 404),
    )
    with server.client as client:
        made = client.create_key("x", ["read"])
        assert made.secret == "edge_secret"
        assert "edge_secret" not in repr(made)
        assert [(one.id, one.scopes, one.secret) for one in client.api_keys()] == [("key_1", ("read",), None)]
        client.revoke_key("key_1")
        with pytest.raises(NotFound):
            client.revoke_key("../jobs")
    assert json.loads(server.requests[0].content) == {"name": "x", "scopes": ["read"]}
    assert server.requests[2].url.path == "/api/v1/keys/key_1"
    assert server.requests[3].url.raw_path == b"/api/v1/keys/..%2Fjobs"
