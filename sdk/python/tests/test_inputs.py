"""Pictures and adapters: what is sent, and what comes back."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgecore_sdk import Client, Invalid, NotFound

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff" + bytes(20)
WEBP = b"RIFF\0\0\0\0WEBP" + bytes(20)

UPLOAD = {
    "id": "upl_1",
    "media_type": "image/jpeg",
    "width": 48,
    "height": 32,
    "size_bytes": len(JPEG),
    "sha256": "ab",
    "created_at": "2026-11-21T10:00:00.000Z",
    "expires_at": "2026-11-22T10:00:00.000Z",
}
ADAPTER = {
    "id": "lora_1",
    "name": "style",
    "base": "nano",
    "rank": 4,
    "alpha": 8.0,
    "triggers": ["zorp"],
    "hint": "a zorp circle",
    "size_bytes": 4,
    "sha256": "ab",
    "created_at": "2026-11-21T10:00:00.000Z",
}
JOB = {"id": "j1", "state": "INIT"}


class Server:
    """Answers by method and path, and keeps the requests."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self._answer = answer
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)

    @property
    def client(self) -> Client:
        return Client("http://gateway", "edge_key", transport=httpx.MockTransport(self))


def always(body: Any, status: int = 200) -> Server:
    return Server(lambda _: httpx.Response(status, json=body))


def data_url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(("kind", "data"), [("png", PNG), ("jpeg", JPEG), ("webp", WEBP), ("png", b"text")])
def test_a_picture_goes_along_with_the_job(tmp_path: Path, kind: str, data: bytes) -> None:
    file = tmp_path / "picture"
    file.write_bytes(data)
    for given in (data, file, str(file)):
        server = always(JOB, 202)
        with server.client as client:
            client.generate("a star", image=given)
        assert json.loads(server.requests[0].content) == {"prompt": "a star", "image": data_url(kind, data)}


def test_an_upload_or_a_data_url_is_sent_as_it_is() -> None:
    server = always(JOB, 202)
    with server.client as client:
        client.generate("a star", image="upl_1")
        client.generate("a star", image=data_url("png", PNG))
    assert [json.loads(one.content)["image"] for one in server.requests] == ["upl_1", data_url("png", PNG)]


def test_a_picture_that_is_not_there_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    server = always(JOB, 202)
    with server.client as client, pytest.raises(FileNotFoundError):
        client.generate("a star", image=tmp_path / "nothing.png")
    assert server.requests == []


def test_every_field_reaches_job_and_estimate_alike() -> None:
    flow = {"motion": [2, -1], "strength": 0.5}
    options = {"variant": "distilled", "upscale": True, "flow_guidance": flow, "seed": None}
    server = Server(lambda _: httpx.Response(200, json=JOB | {"candidates": [], "recommended": None}))
    with server.client as client:
        client.generate("a star", adapters={"lora_1": 0.5, "lora_2": 1}, **options)
        client.estimate("a star", adapters={"lora_1": 0.5, "lora_2": 1}, **options)
    bodies = [json.loads(one.content) for one in server.requests]
    adapters = [{"id": "lora_1", "scale": 0.5}, {"id": "lora_2", "scale": 1}]
    assert bodies[0] == {
        "prompt": "a star",
        "variant": "distilled",
        "upscale": True,
        "flow_guidance": flow,
        "adapters": adapters,
    }
    assert bodies[1] == bodies[0]


def test_a_picture_is_uploaded_shown_and_deleted(tmp_path: Path) -> None:
    file = tmp_path / "cat.jpg"
    file.write_bytes(JPEG)
    server = Server(lambda request: httpx.Response(204 if request.method == "DELETE" else 201, json=UPLOAD))
    with server.client as client:
        made = client.upload_image(file)
        assert client.upload(made.id) == made
        client.delete_upload("../x")
    assert ((made.width, made.height), (made.expires_at - made.created_at).days) == ((48, 32), 1)
    assert (server.requests[0].content, server.requests[0].headers["content-type"]) == (JPEG, "image/jpeg")
    assert server.requests[2].url.raw_path == b"/api/v1/uploads/..%2Fx"


def test_an_adapter_is_added_and_deleted(tmp_path: Path) -> None:
    file = tmp_path / "style.safetensors"
    file.write_bytes(b"lora")
    server = Server(lambda request: httpx.Response(204 if request.method == "DELETE" else 201, json=ADAPTER))
    with server.client as client:
        made = client.add_adapter(file, name="mine")
        assert client.adapter("lora_1") == made
        client.delete_adapter("lora_1")
    assert (made.id, made.triggers, made.alpha) == ("lora_1", ("zorp",), 8.0)
    first = server.requests[0]
    assert (first.content, first.url.params["name"]) == (b"lora", "mine")
    assert first.headers["content-type"] == "application/octet-stream"
    assert server.requests[2].method == "DELETE"


def test_all_adapters_are_listed() -> None:
    pages = [
        {"data": [ADAPTER], "has_more": True, "next": "lora_1"},
        {"data": [ADAPTER | {"id": "lora_0"}], "has_more": False, "next": None},
    ]
    server = Server(lambda _: httpx.Response(200, json=pages.pop(0)))
    with server.client as client:
        assert [one.id for one in client.adapters()] == ["lora_1", "lora_0"]
    assert server.requests[1].url.params["after"] == "lora_1"


def test_refusals_are_errors(tmp_path: Path) -> None:
    wrong = {"detail": "no", "errors": [{"field": "body", "rule": "must be a safetensors file"}]}
    file = tmp_path / "x"
    file.write_bytes(b"")
    with always(wrong, 422).client as client, pytest.raises(Invalid, match="must be a safetensors file"):
        client.add_adapter(file)
    with always({"detail": "you have no such adapter"}, 404).client as client, pytest.raises(NotFound):
        client.delete_adapter("lora_9")
