"""`Client.preview` against a stand-in transport that streams, breaks off and misbehaves."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from edgecore_sdk import Client, NotFound, PreviewEnd, PreviewFrame, ServerFault

JPEG = b"\xff\xd8\xff picture \xff\xd9"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecore_sdk.preview.FIRST_PAUSE_S", 0.001)


def frame(number: int, **changes: Any) -> bytes:
    body = {
        "type": "frame",
        "number": number,
        "attempt": 1,
        "step": number,
        "steps": 20,
        "frame": 3,
        "frames": 17,
        "width": 64,
        "height": 48,
        "media_type": "image/jpeg",
        "made_at": "2026-11-21T08:00:00.250Z",
        "skipped": 0,
        "data": base64.b64encode(JPEG).decode(),
        "something": "newer",
    }
    return f"event: frame\nid: {number}\ndata: {json.dumps(body | changes)}\n\n".encode()


END = b'event: end\ndata: {"type": "end", "state": "DELIVERED"}\n\n'


class Breaking(httpx.SyncByteStream):
    """Chunks, and then the connection is gone."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        raise httpx.ReadError("gone")


def client_of(*answers: httpx.Response) -> tuple[Client, list[httpx.Request]]:
    asked: list[httpx.Request] = []
    waiting = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return next(waiting)

    handler: Callable[[httpx.Request], httpx.Response] = answer
    return Client("http://api.test", "edge_x", transport=httpx.MockTransport(handler)), asked


def test_frames_and_the_end() -> None:
    client, asked = client_of(httpx.Response(200, content=b": ping\n\n" + frame(5) + frame(6, skipped=2) + END))
    first, second, end = client.preview("job_1", after=4)
    assert isinstance(first, PreviewFrame)
    assert (first.number, first.step, first.data, first.skipped) == (5, 5, JPEG, 0)
    assert first.made_at.isoformat() == "2026-11-21T08:00:00.250000+00:00"
    assert isinstance(second, PreviewFrame)
    assert second.skipped == 2
    assert end == PreviewEnd("DELIVERED")
    assert str(asked[0].url) == "http://api.test/api/v1/preview/job_1/stream?after=4"


def test_lines_may_come_in_any_pieces_and_with_any_ends() -> None:
    whole = (frame(5) + END).replace(b"\n", b"\r\n")
    pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    client, _ = client_of(httpx.Response(200, content=iter(pieces)))
    assert [type(one) for one in client.preview("job_1")] == [PreviewFrame, PreviewEnd]


def test_a_stream_that_breaks_or_stops_is_opened_again_behind_the_last_number() -> None:
    cut = frame(7)[:40]
    client, asked = client_of(
        httpx.Response(200, stream=Breaking(frame(5), frame(6), cut)),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=frame(7)),
        httpx.Response(200, content=END),
    )
    numbers = [one.number for one in client.preview("job_1") if isinstance(one, PreviewFrame)]
    assert numbers == [5, 6, 7]
    assert [request.url.params["after"] for request in asked] == ["0", "6", "6", "7"]


def test_what_the_api_refuses_is_an_error() -> None:
    refusal = {"title": "Not found", "detail": "there is no such job", "code": "not_found"}
    client, _ = client_of(httpx.Response(404, json=refusal))
    with pytest.raises(NotFound, match="there is no such job"):
        next(client.preview("job_2"))


@pytest.mark.parametrize(
    "event",
    [b"event: frame\ndata: {}\n\n", b"event: end\ndata: [\n\n", frame(5, data="§"), frame(5, made_at="yesterday")],
)
def test_events_that_break_the_promise(event: bytes) -> None:
    client, _ = client_of(httpx.Response(200, content=event))
    with pytest.raises(ServerFault, match="not what the API promises"):
        list(client.preview("job_1"))
