"""The client commands against a small API of our own, in this process, through `main`."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgecore_cli.app import main
from edgecore_cli.errors import CommandFailed
from edgecore_cli.generate import describe
from edgecore_cli.maintenance import parse_since
from edgecore_sdk import Job

STEPS = [
    {"state": "QUEUED", "progress": 0.0, "queue_position": 2},
    {"state": "GENERATING", "progress": 0.5, "stage": "denoise", "step": 4, "steps": 8},
    {"state": "DELIVERED", "progress": 1.0},
]
VIDEO = b"not really a video" * 1000

API_KEY = {
    "id": "key_1",
    "name": "build",
    "scopes": ["read"],
    "shown": "edge_abcde",
    "created_at": "2026-11-20T10:00Z",
}


NODE = {
    "id": "local-0",
    "pool": "local",
    "backend": "aiprod",
    "device": "cpu",
    "models": ["aiprod-nano"],
    "capacity": 2,
    "running": 1,
    "connected": True,
    "draining": False,
}
DECISION = {
    "number": 1,
    "attempt": 1,
    "backend": "runway",
    "node": None,
    "verdict": "filtered",
    "code": "no_quote",
    "detail": "nobody said what runway would cost",
    "decided_at": "2026-11-20T10:00:00Z",
}


ADAPTER = {
    "id": "lora_1",
    "name": "style",
    "base": "nano",
    "rank": 4,
    "alpha": 8.0,
    "triggers": ["zorp"],
    "hint": "a zorp circle",
    "size_bytes": 4000,
    "sha256": "ab",
    "created_at": "2026-11-20T10:00:00Z",
}


class Api(ThreadingHTTPServer):
    """One job that is further along at every look."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.steps: list[dict[str, Any]] = list(STEPS)
        self.submitted: list[dict[str, Any]] = []
        self.files: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def job(self) -> dict[str, Any]:
        now = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return {"id": "job-1", "version": 1, "created_at": "2026-11-20T10:00:00Z", **now}


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer edge_good":
            self.answer(401, {"title": "Unauthorized", "detail": "unknown API key", "code": "unknown_key"})
        elif self.path.startswith("/api/v1/status/job-1"):
            self.answer(200, self.server.job())
        elif self.path.startswith("/api/v1/jobs?"):
            self.answer(200, {"data": [self.server.job()], "has_more": False, "next": None})
        elif self.path == "/api/v1/keys":
            self.answer(200, {"data": [API_KEY]})
        elif self.path == "/api/v1/adapters?limit=100":
            self.answer(200, {"data": [ADAPTER], "has_more": False, "next": None})
        elif self.path == "/api/v1/nodes":
            self.answer(200, {"data": [NODE]})
        elif self.path == "/api/v1/jobs/job-1/decisions":
            self.answer(200, {"data": [DECISION]})
        elif self.path.startswith("/api/v1/jobs/job-1/video"):
            self.reply(200, VIDEO + self.path.partition("=")[2].encode())
        else:
            self.answer(404, {"detail": "there is no such job", "code": "job_not_found"})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"] or 0))
        if self.path.startswith("/api/v1/adapters"):
            self.server.files.append((self.path, raw))
            self.answer(201, ADAPTER)
            return
        body = json.loads(raw or b"{}")
        self.server.submitted.append(body)
        if self.path == "/api/v1/keys":
            self.answer(201, API_KEY | {"scopes": body.get("scopes", ["generate", "read"]), "key": "edge_secret"})
        elif self.path == "/api/v1/nodes/local-0/drain":
            self.answer(200, NODE | {"draining": body["drain"]})
        elif self.path.endswith("/cancel"):
            self.answer(202, {"id": "job-1", "state": "CANCELLED"})
        elif body.get("width") == 33:
            wrong = [{"field": "width", "rule": "a multiple of 32", "nearest": 32}]
            self.answer(422, {"detail": "the request is not valid", "code": "invalid", "errors": wrong})
        else:
            self.answer(202, {"id": "job-1", "state": "INIT", "status_url": "/api/v1/status/job-1"})

    def do_DELETE(self) -> None:
        if self.path in ("/api/v1/keys/key_1", "/api/v1/adapters/lora_1"):
            self.reply(204, b"")
        else:
            self.answer(404, {"detail": "you have no such API key", "code": "not_found"})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.reply(status, json.dumps(body).encode())

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("EDGECORE_URL", server.url)
    monkeypatch.setenv("EDGECORE_API_KEY", "edge_good")
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `edgecore ARGUMENTS`."""
    monkeypatch.setattr("sys.argv", ["edgecore", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_generate_writes_the_video(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "a red circle moving right"
    assert run(monkeypatch, "generate", prompt, "-o", "circle.mp4", "--seed", "7", "--guidance", "3.5") == 0
    assert (tmp_path / "circle.mp4").read_bytes() == VIDEO
    assert list(tmp_path.iterdir()) == [tmp_path / "circle.mp4"]
    assert api.submitted == [{"prompt": prompt, "seed": 7, "guidance": 3.5}]
    assert "circle.mp4  18 kB" in capsys.readouterr().out


def test_no_format_is_written_over_another(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    renditions = [
        {"format": name, "url": "/", "media_type": "", "size_bytes": 1} for name in ("prores", "mp4", "webm")
    ]
    api.steps = [{"state": "DELIVERED", "progress": 1.0, "renditions": renditions}]
    assert run(monkeypatch, "generate", "a star", "-o", "star.mp4", "--format", "prores", "--format", "mp4") == 0
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {"star.mp4": VIDEO, "star-mp4.mp4": VIDEO + b"mp4", "star.webm": VIDEO + b"webm"}


def test_generate_with_everything_a_job_can_work_with(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\xffcat")
    options = ["--image", "cat.jpg", "--motion", "-2,1.5", "--motion-strength", "0.5", "--variant", "distilled"]
    options += ["--upscale", "--adapter", "lora_1", "--adapter", "lora_2:-0.5"]
    assert run(monkeypatch, "generate", "a star", "--no-wait", *options) == 0
    assert api.submitted == [
        {
            "prompt": "a star",
            "image": "data:image/jpeg;base64,/9j/Y2F0",
            "flow_guidance": {"motion": [-2.0, 1.5], "strength": 0.5},
            "variant": "distilled",
            "upscale": True,
            "adapters": [{"id": "lora_1", "scale": 1.0}, {"id": "lora_2", "scale": -0.5}],
        }
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--image", "nothing.png"], "nothing.png: No such file or directory"),
        (["--motion", "left"], "--motion takes RIGHT,DOWN in pixels a frame"),
        (["--motion", "1,2,3"], "--motion takes RIGHT,DOWN in pixels a frame"),
        (["--motion-strength", "0.5"], "--motion-strength needs --motion"),
        (["--adapter", "lora_1:much"], "--adapter takes ID or ID:SCALE"),
        (["--adapter", "lora_1", "--adapter", "lora_1:2"], "--adapter lora_1 is given twice"),
    ],
)
def test_an_option_that_cannot_be_read_submits_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert run(monkeypatch, "generate", "a star", "--no-wait", *options) == 1
    assert told in capsys.readouterr().err
    assert api.submitted == []


def test_adapters_are_added_listed_and_removed(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "style.safetensors").write_bytes(b"lora")
    assert run(monkeypatch, "adapters", "add", "style.safetensors", "--name", "mine") == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("lora_1\n", "style, rank 4, for nano; its prompts say zorp\n")
    assert api.files == [("/api/v1/adapters?name=mine", b"lora")]
    assert run(monkeypatch, "adapters", "list") == 0
    assert re.search(r"lora_1 +style +nano +4 +4 kB +zorp", capsys.readouterr().out)
    assert run(monkeypatch, "adapters", "remove", "lora_1") == 0
    assert capsys.readouterr().out == "lora_1 removed\n"
    assert run(monkeypatch, "adapters", "remove", "lora_2") == 1
    assert run(monkeypatch, "adapters", "add", "nothing.safetensors") == 1
    assert "nothing.safetensors: No such file or directory" in capsys.readouterr().err


def test_generate_without_waiting_prints_the_id(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "generate", "a star", "--no-wait") == 0
    assert capsys.readouterr().out == "job-1\n"


def test_an_invalid_field_is_one_line_with_the_nearest_value(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "generate", "a star", "--width", "33") == 1
    told = capsys.readouterr().err
    assert told == "edgecore: width: a multiple of 32 (nearest: 32)\n"


def test_a_failed_job_says_why(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.steps = [{"state": "ERROR", "error": {"code": "OUT_OF_MEMORY", "message": "the node ran out of memory"}}]
    assert run(monkeypatch, "generate", "a star") == 1
    assert "edgecore: job job-1 ended in ERROR: the node ran out of memory" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_says_that_the_job_goes_on(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecore_cli.generate.Client.wait", interrupt)
    assert run(monkeypatch, "generate", "a star") == 130
    assert "job job-1 goes on; to end it: edgecore cancel job-1" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_told_before_anything_is_submitted(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "generate", "a star", "-o", "nowhere/out.mp4") == 1
    assert "there is no folder" in capsys.readouterr().err
    assert api.submitted == []


def test_status_jobs_and_cancel(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "status", "job-1") == 0
    assert "QUEUED" in capsys.readouterr().out
    assert run(monkeypatch, "jobs", "--state", "generating") == 0
    assert re.search(r"^job-1 +GENERATING +50%", capsys.readouterr().out, re.MULTILINE)
    assert run(monkeypatch, "cancel", "job-1") == 0
    assert capsys.readouterr().out == "job-1 CANCELLED\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "job-2"], "there is no such job"),
        (["status", "../admin"], "there is no such job"),
        (["status", "job-1", "--key", "edge_bad"], "unknown API key"),
        (["status", "job-1", "--url", "http://127.0.0.1:1"], "no answer from http://127.0.0.1:1"),
        (["outbox", "replay"], "no stack runs in"),
        (["outbox", "replay", "--since", "yesterday"], "--since takes a time"),
        (["dlq", "list"], "no stack runs in"),
    ],
)
def test_each_failure_is_one_line_and_exit_code_1(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.setattr("edgecore_sdk.retry.TOTAL_S", 0.2)
    assert run(monkeypatch, *arguments) == 1
    errors = capsys.readouterr().err
    assert told in errors
    assert errors.startswith("edgecore: ")
    assert errors.count("\n") == 1


def test_without_stack_and_url_the_way_out_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EDGECORE_URL", raising=False)
    assert run(monkeypatch, "jobs", "--directory", str(tmp_path)) == 1
    assert "start one with `edgecore up`, or give --url and --key" in capsys.readouterr().err


def test_keys_are_made_listed_and_revoked(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "keys", "create", "build", "--scope", "read") == 0
    assert capsys.readouterr().out == "edge_secret\n"
    assert api.submitted == [{"name": "build", "scopes": ["read"]}]
    assert run(monkeypatch, "keys", "list") == 0
    assert "edge_abcde" in capsys.readouterr().out
    assert run(monkeypatch, "keys", "revoke", "key_1") == 0
    assert run(monkeypatch, "keys", "revoke", "key_2") == 1
    assert "no such API key" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["", "up", "generate", "status", "jobs", "cancel", "keys", "adapters", "outbox", "dlq"]
)
def test_every_command_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, *command.split(), "--help") == 0
    assert "Usage:" in capsys.readouterr().out


def test_since_takes_a_period_or_a_time() -> None:
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    assert parse_since("30m", now) == datetime(2026, 11, 20, 11, 30, tzinfo=UTC)
    assert parse_since("2026-11-20T10:00:00", now) == datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    assert parse_since("2026-11-20T10:00:00+02:00", now) == datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    with pytest.raises(CommandFailed, match="--since takes"):
        parse_since("30 minutes", now)


def test_what_a_job_is_doing_in_a_few_words() -> None:
    attempts = [{"attempt": 1}, {"attempt": 2}]
    assert describe(Job.parse({"id": "1", **STEPS[0]})) == "queued, number 2"
    assert describe(Job.parse({"id": "1", **STEPS[1]})) == "denoise 4/8"
    assert describe(Job.parse({"id": "1", "state": "QUEUED", "attempts": attempts})) == "queued (attempt 2)"
    assert describe(Job.parse({"id": "1", "state": "FINALIZING", "stage": "encode"})) == "encode"


def test_nodes_are_listed_and_drained(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "nodes") == 0
    assert re.search(r"local-0 +local +aiprod +cpu +1/2 +ready", capsys.readouterr().out)
    assert run(monkeypatch, "nodes", "drain", "local-0") == 0
    assert capsys.readouterr().out == "local-0 draining, 1 running\n"
    assert run(monkeypatch, "nodes", "undrain", "local-0") == 0
    assert capsys.readouterr().out == "local-0 ready, 1 running\n"
    assert api.submitted == [{"drain": True}, {"drain": False}]
    assert run(monkeypatch, "nodes", "drain", "other") == 1


def test_decisions_say_why(api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "decisions", "job-1") == 0
    assert "nobody said what runway would cost" in capsys.readouterr().out
