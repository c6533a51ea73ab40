"""All seven services, once each, as a user sees them: sign in, estimate, preview, formats, money, insight."""

import base64
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from edgecore_sdk import Client
from edgecore_sdk.errors import NotFound

from .conftest import Command
from .waiting import soon

SECONDS = 120.0
QUICK = {"frames": 5, "steps": 2}
LONG = {"frames": 33, "steps": 50, "width": 96, "height": 64}
"""Some seconds of work, enough to be watched."""


@pytest.fixture
def http(base_url: str, api_key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {api_key}"}
    with httpx.Client(base_url=f"{base_url}/api/v1", headers=headers, timeout=30.0) as connected:
        yield connected


def test_an_estimate_compares_our_model_with_what_providers_ask(http: httpx.Client) -> None:
    body = {"prompt": "a red circle moving right", "frames": 17, "steps": 20}
    found = http.post("/estimate", json=body)
    assert found.status_code == 200, found.text
    candidates = found.json()["candidates"]
    assert {one["backend"] for one in candidates} >= {"aiprod", "runway", "veo", "replicate"}
    for one in candidates:
        assert Decimal(one["low"]) <= Decimal(one["amount"]) <= Decimal(one["high"])
        assert one["detail"]
    own = next(one for one in candidates if one["backend"] == "aiprod")
    assert Decimal(own["amount"]) > 0
    assert found.json()["recommended"]["backend"] == "aiprod"
    assert found.json()["recommended"]["reason"]
    refused = http.post("/estimate", json=body | {"frames": 18})
    assert (refused.status_code, refused.json()["errors"][0]["nearest"]) == (422, 17)


def test_a_job_costs_what_its_ledger_lines_say(http: httpx.Client, client: Client) -> None:
    job = client.generate("a blue square moving up", **QUICK)
    # Where cost is too busy to answer at once, it says so by an event.
    estimated = soon(lambda: http.get(f"/status/{job.id}").json()["cost_estimated"])
    assert Decimal(estimated) > 0
    client.wait(job.id, SECONDS)
    actual = soon(lambda: settled(http, job.id))
    lines = http.get(f"/jobs/{job.id}/cost").json()["lines"]
    assert {line["kind"] for line in lines} == {"compute", "storage"}
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(actual)
    assert all(line["price_id"] for line in lines)


def settled(http: httpx.Client, job_id: str) -> str | None:
    """The job's cost once both of its lines are there."""
    found = http.get(f"/jobs/{job_id}/cost").json()
    actual = http.get(f"/status/{job_id}").json()["cost_actual"]
    return actual if len(found["lines"]) >= 2 and found["actual"] == actual else None


def test_a_budget_refuses_and_lets_go_again(http: httpx.Client, client: Client) -> None:
    me = http.get("/auth/me").json()["id"]
    try:
        assert http.put(f"/admin/budgets/{me}", json={"monthly": "0.000001"}).status_code == 200
        # Where cost is too busy to answer at once, the gateway accepts, asks it nothing for a second, and cost
        # declines a moment later; more tries in that second would only be more jobs.
        refused = soon(lambda: over_budget(http), 60.0, pause=1.5)
        assert refused.json()["code"] == "budget_exhausted"
        assert refused.headers["x-should-retry"] == "false"
    finally:
        assert http.put(f"/admin/budgets/{me}", json={"monthly": None}).status_code == 200
    assert client.generate("a red circle", **QUICK).id


def over_budget(http: httpx.Client) -> httpx.Response | None:
    answer = http.post("/generate", json={"prompt": "a red circle", **QUICK})
    return answer if answer.status_code == 402 else None


def test_every_format_decodes_and_has_a_thumbnail(http: httpx.Client, client: Client) -> None:
    wanted = ["mp4", "webm", "prores"]
    job = client.generate("a green heart moving left", frames=9, steps=4, formats=wanted)
    client.wait(job.id, SECONDS)
    status = http.get(f"/status/{job.id}").json()
    assert [one["format"] for one in status["renditions"]] == wanted
    codecs = {"mp4": "h264", "webm": "vp9", "prores": "prores"}
    for one in status["renditions"]:
        content = http.get(f"/jobs/{job.id}/video", params={"format": one["format"]}).content
        assert len(content) == one["size_bytes"]
        with av.open(io.BytesIO(content)) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            assert stream.codec_context.name == codecs[one["format"]]
        assert np.stack(frames).shape == (9, 64, 64, 3)
    thumbnail = http.get(f"/jobs/{job.id}/thumbnail")
    Image.open(io.BytesIO(thumbnail.content)).verify()
    assert http.get(f"/jobs/{job.id}/video", params={"format": "gif"}).status_code == 422


def test_preview_frames_come_while_the_model_works(http: httpx.Client, client: Client) -> None:
    job = client.generate("a yellow circle moving down", **LONG)
    frames, end = [], None
    with http.stream("GET", f"/preview/{job.id}/stream", timeout=SECONDS) as stream:
        for message in events(stream):
            if message["type"] == "end":
                end = message
                break
            frames.append(message)
    assert end is not None
    assert end["state"] == "DELIVERED"
    assert len(frames) >= 3
    numbers = [frame["number"] for frame in frames]
    assert numbers == sorted(set(numbers))
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(frames[-1]["data"]))))
    assert picture.shape == (frames[-1]["height"], frames[-1]["width"], 3)
    red, green, blue = picture.reshape(-1, 3).max(axis=0)
    assert red > 150, "the yellow circle is to be seen"
    assert green > 120
    assert blue < 255


def events(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    """The data of server-sent events."""
    for line in stream.iter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))


def test_why_a_job_ran_where_it_ran(http: httpx.Client, client: Client) -> None:
    job = client.generate("a white square, still", **QUICK)
    client.wait(job.id, SECONDS)
    decisions = http.get(f"/jobs/{job.id}/decisions").json()["data"]
    chosen = [one for one in decisions if one["verdict"] == "chosen"]
    assert len(chosen) == 1
    assert chosen[0]["backend"] == "aiprod"
    assert chosen[0]["node"]
    assert chosen[0]["detail"]
    nodes = http.get("/nodes").json()["data"]
    assert chosen[0]["node"] in {node["id"] for node in nodes}
    assert http.get("/pools").json()["data"]
    assert http.get("/models").json()["data"][0]["name"] == "aiprod-nano"


def test_usage_counts_what_was_delivered(http: httpx.Client, client: Client) -> None:
    now, day = datetime.now(UTC), timedelta(days=1)
    period = {"from": (now - day).isoformat(), "to": (now + day).isoformat(), "bucket": "day"}
    before = http.get("/analytics/usage", params=period).json()["total"]
    job = client.generate("a purple heart moving right", **QUICK)
    client.wait(job.id, SECONDS)

    def counted() -> dict[str, Any] | None:
        total = http.get("/analytics/usage", params=period).json()["total"]
        more = all(total[name] > before[name] for name in ("jobs", "delivered", "compute_seconds"))
        return total if more and total["cost"] != before["cost"] else None

    total = soon(counted)
    assert total["latency"]["p50"] <= total["latency"]["p99"]


def test_sign_in_gives_a_token_that_works_until_log_out(http: httpx.Client, base_url: str, password: str) -> None:
    with httpx.Client(base_url=f"{base_url}/api/v1") as anonymous:
        assert anonymous.get("/jobs").status_code == 401
        wrong = anonymous.post("/auth/login", json={"email": "dev@edgecore.local", "password": "wrong"})
        assert wrong.status_code == 401
        mine = {"email": "dev@edgecore.local", "password": password}
        session = anonymous.post("/auth/login", json=mine).json()
        bearer = {"Authorization": f"Bearer {session['access_token']}"}
        assert anonymous.get("/jobs", headers=bearer).status_code == 200
        made = anonymous.post("/keys", headers=bearer, json={"name": "e2e", "scopes": ["read"]}).json()
        reading = {"Authorization": f"Bearer {made['key']}"}
        assert anonymous.get("/jobs", headers=reading).status_code == 200
        refused = anonymous.post("/generate", headers=reading, json={"prompt": "a red circle"})
        assert refused.status_code == 403
        assert anonymous.delete(f"/keys/{made['id']}", headers=bearer).status_code == 204
        logout = anonymous.post("/auth/logout", headers=bearer, json={"refresh_token": session["refresh_token"]})
        assert logout.status_code == 204
        again = anonymous.post("/auth/refresh", json={"refresh_token": session["refresh_token"]})
        assert again.status_code == 401


def test_the_command_watches_a_job(edgecore: Command, tmp_path: Path) -> None:
    made = edgecore("generate", "a brown circle moving up", "--frames", "33", "--steps", "50", "--no-wait")
    job_id = made.stdout.strip()
    watched = edgecore("watch", job_id, "--save", "frames")
    assert watched.returncode == 0, watched.stderr
    assert "DELIVERED" in watched.stdout
    saved = sorted((tmp_path / "frames").glob("*.jpg"))
    assert saved
    Image.open(saved[-1]).verify()


def test_another_customers_job_is_not_there(http: httpx.Client, client: Client, base_url: str) -> None:
    job = client.generate("a red heart, still", **QUICK)
    name = f"other-{job.id[-12:].lower()}"
    body = {"email": f"{name}@edgecore.local", "name": name, "password": f"{name}-secret", "role": "user"}
    assert http.post("/admin/users", json=body).status_code == 201
    login = httpx.post(
        f"{base_url}/api/v1/auth/login", json={"email": body["email"], "password": body["password"]}
    )
    with Client(base_url, login.json()["access_token"]) as stranger:
        with pytest.raises(NotFound):
            stranger.status(job.id)
        assert stranger.jobs().jobs == ()
