"""`edgecore watch` against a small API of our own, in this process, through `main`."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from edgecore_cli.app import main
from edgecore_cli.watch import half_blocks


def jpeg(colour: tuple[int, int, int] = (250, 10, 20), width: int = 64, height: int = 48) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "JPEG", quality=95)
    return file.getvalue()


class Api(ThreadingHTTPServer):
    """One job whose stream is cut after every second frame."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pictures = [jpeg(), jpeg((0, 200, 0)), b"not a picture"]
        self.state = "DELIVERED"
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        path, _, after = self.path.partition("?after=")
        if path != "/api/v1/preview/job-1/stream":
            self.send_response(404)
            self.send_header("content-length", "34")
            self.end_headers()
            self.wfile.write(b'{"detail":"there is no such job!"}')
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        first = max(0, int(after) - 2**20)
        for number, data in list(enumerate(self.server.pictures, 1))[first : first + 2]:
            self.event("frame", number, data)
        if first + 2 >= len(self.server.pictures):
            self.wfile.write(f'event: end\ndata: {{"type": "end", "state": "{self.server.state}"}}\n\n'.encode())

    def event(self, name: str, count: int, data: bytes) -> None:
        body = {
            "type": name,
            "number": 2**20 + count,
            "attempt": 1,
            "step": count,
            "steps": 3,
            "frame": 8,
            "frames": 17,
            "width": 64,
            "height": 48,
            "media_type": "image/jpeg",
            "made_at": "2026-11-21T08:00:00.250Z",
            "skipped": count - 1,
            "data": base64.b64encode(data).decode(),
        }
        self.wfile.write(f"event: {name}\nid: {body['number']}\ndata: {json.dumps(body)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("EDGECORE_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("EDGECORE_API_KEY", "edge_good")
    monkeypatch.setattr("edgecore_sdk.preview.FIRST_PAUSE_S", 0.001)
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `edgecore watch ARGUMENTS`."""
    monkeypatch.setattr("sys.argv", ["edgecore", "watch", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_line_for_each_picture_and_the_end(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "job-1", "--save", "frames") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 1/3  picture 9/17  attempt 1  frame 1048577  ")
    assert lines[1].endswith("  1 skipped")
    assert len(lines) == 4
    assert lines[3] == "job-1 DELIVERED"
    saved = sorted((tmp_path / "frames").iterdir())
    assert [file.name for file in saved] == ["001-000001.jpg", "001-000002.jpg", "001-000003.jpg"]
    assert [file.read_bytes() for file in saved] == api.pictures
    assert [path.rpartition("=")[2] for path in api.asked] == ["0", "1048578"]


def test_pictures_on_a_terminal(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "20")
    assert run(monkeypatch, "job-1") == 0
    told = capsys.readouterr().out
    assert "▀" in told
    assert "38;2;" in told
    assert "step 2/3" in told
    assert "cannot be shown" in told
    assert "job-1 DELIVERED" in told


def test_a_job_that_failed_or_is_not_there(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api.state = "ERROR"
    assert run(monkeypatch, "job-1", "--after", str(2**20 + 3)) == 1
    told = capsys.readouterr()
    assert told.out == "job-1 ERROR\n"
    assert "job job-1 ended in ERROR" in told.err
    assert run(monkeypatch, "job-2") == 1
    assert "there is no such job" in capsys.readouterr().err


def test_a_picture_fills_its_box_and_keeps_its_shape() -> None:
    console = Console(width=200, color_system="truecolor", force_terminal=True, file=io.StringIO())
    for width, height, columns, lines in (
        (64, 48, 40, 50),
        (854, 480, 80, 10),
        (480, 854, 200, 20),
        (2, 480, 5, 5),
    ):
        rows = list(console.render_lines(half_blocks(jpeg(width=width, height=height), columns, lines), pad=False))
        shown = max(len("".join(segment.text for segment in row)) for row in rows)
        assert 1 <= shown <= columns
        assert 1 <= len([row for row in rows if row]) <= lines


def test_the_colours_are_those_of_the_picture() -> None:
    segment = next(iter(half_blocks(jpeg((250, 10, 20)), 4, 2).segments))
    assert segment.style is not None
    assert segment.style.color is not None
    red, green, blue = segment.style.color.get_truecolor()
    assert (red > 240, green < 25, blue < 35) == (True, True, True)


@pytest.mark.parametrize("data", [b"", b"GIF89a", jpeg()[:100], jpeg(width=900, height=20)])
def test_what_is_no_picture_of_ours(data: bytes) -> None:
    with pytest.raises((OSError, ValueError)):
        half_blocks(data, 40, 20)
