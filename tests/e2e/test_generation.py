"""One prompt in, one video out, as a user sees it."""

import itertools
from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from edgecore_aiprod.detector import detect
from edgecore_sdk import Client
from edgecore_sdk.errors import Invalid, JobFailed, NotFound

from .conftest import Command
from .waiting import soon

SECONDS = 90.0
QUICK = {"frames": 5, "steps": 2}
"""A job whose picture does not matter."""


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_the_command_makes_a_video_that_shows_the_prompt(edgecore: Command, tmp_path: Path) -> None:
    done = edgecore("generate", "a red circle moving right", "-o", "out.mp4", "--seed", "1")
    assert done.returncode == 0, done.stderr
    frames = frames_of(tmp_path / "out.mp4")
    assert frames.shape == (17, 64, 64, 3)
    assert detect(frames).agrees("red", "circle", "right") == (True, True, True)


def test_a_job_tells_its_progress_and_its_history(client: Client) -> None:
    job = client.generate("a blue square moving up", frames=33, steps=40, seed=3)
    assert (job.state, job.progress) == ("INIT", 0.0)
    seen = []
    done = client.wait(job.id, SECONDS, on_progress=seen.append)
    assert done.state == "DELIVERED"
    assert done.progress == 1.0
    assert done.video_url is not None
    progress = [one.progress for one in seen]
    assert progress == sorted(progress)
    assert any(0.0 < one < 1.0 for one in progress)
    assert [(one.number, one.outcome) for one in done.attempts] == [(1, "SUCCEEDED")]
    assert done.attempts[0].measured_seconds is not None
    assert done.attempts[0].measured_seconds > 0


def test_the_history_is_the_table_walked_forward(client: Client, base_url: str, api_key: str) -> None:
    done = client.wait(client.generate("a green heart, still", **QUICK).id, SECONDS)
    headers = {"Authorization": f"Bearer {api_key}"}
    events = httpx.get(f"{base_url}/api/v1/jobs/{done.id}/events", headers=headers).json()["data"]
    states = ["INIT", "QUEUED", "ALLOCATED", "GENERATING", "FINALIZING", "DELIVERED"]
    assert [(event["from"], event["to"]) for event in events] == list(itertools.pairwise(states))
    assert [event["version"] for event in events] == [1, 2, 3, 4, 5]


def test_the_same_seed_gives_the_same_video(client: Client, tmp_path: Path) -> None:
    jobs = [client.generate("a purple square moving left", seed=11, **QUICK) for _ in range(2)]
    first, second = (
        client.download(client.wait(job.id, SECONDS).id, tmp_path / f"{number}.mp4")
        for number, job in enumerate(jobs)
    )
    assert np.array_equal(frames_of(first), frames_of(second))


def test_part_of_a_video_can_be_asked_for(client: Client, base_url: str, api_key: str) -> None:
    done = client.wait(client.generate("a white circle moving down", **QUICK).id, SECONDS)
    url = f"{base_url}/api/v1/jobs/{done.id}/video"
    headers = {"Authorization": f"Bearer {api_key}"}
    whole = httpx.get(url, headers=headers)
    part = httpx.get(url, headers=headers | {"Range": "bytes=4-11"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert part.content == whole.content[4:12]
    assert part.headers["content-range"] == f"bytes 4-11/{len(whole.content)}"


def test_cancel_stops_the_model_and_frees_the_node(client: Client) -> None:
    job = client.generate("an orange circle moving up", frames=33, width=128, height=128, steps=50)
    soon(lambda: client.status(job.id, wait_s=1).state in ("GENERATING", "FINALIZING", "DELIVERED"), SECONDS)
    client.cancel(job.id)
    with pytest.raises(JobFailed) as ended:
        client.wait(job.id, SECONDS)
    cancelled = ended.value.job
    assert cancelled.state == "CANCELLED"
    assert cancelled.attempts[0].outcome == "CANCELLED"
    assert cancelled.attempts[0].measured_seconds is not None, "what it used is known"
    assert client.wait(client.generate("a red heart, still", **QUICK).id, SECONDS).state == "DELIVERED"


def test_a_waiting_job_is_cancelled_before_it_starts(client: Client) -> None:
    first = client.generate("a black circle moving right", frames=33, width=128, height=128, steps=50)
    soon(lambda: client.status(first.id).state in ("ALLOCATED", "GENERATING"))
    second = client.generate("a black square moving right", **QUICK)
    client.cancel(second.id)
    client.cancel(first.id)
    for job in (first, second):
        with pytest.raises(JobFailed) as ended:
            client.wait(job.id, SECONDS)
        assert ended.value.job.state == "CANCELLED"


def test_bad_input_names_field_rule_and_nearest(client: Client) -> None:
    with pytest.raises(Invalid) as refused:
        client.generate("a red circle", width=100, frames=18, steps=0)
    problems = {problem.field: problem.nearest for problem in refused.value.errors}
    assert problems == {"width": 96, "frames": 17, "steps": 1}
    with pytest.raises(NotFound):
        client.status("job_00000000000000000000000000")


def test_the_command_lists_shows_and_refuses_clearly(edgecore: Command) -> None:
    made = edgecore("generate", "a yellow heart moving left", "--frames", "5", "--steps", "2", "--no-wait")
    assert made.returncode == 0, made.stderr
    job_id = next(word for word in made.stdout.split() if word.startswith("job_"))
    assert job_id in edgecore("jobs").stdout
    assert job_id in edgecore("status", job_id).stdout
    refused = edgecore("generate", "a red circle", "--frames", "6")
    assert refused.returncode != 0
    assert "frames" in refused.stderr
    assert "5" in refused.stderr
    assert "Traceback" not in refused.stderr
