"""What a person can tell our model beside words: a first frame, a motion, few steps, a second stage, adapters."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from edgecore_aiprod.adapter import save_adapter
from edgecore_aiprod.checkpoint import load_model
from edgecore_aiprod.detector import detect
from edgecore_aiprod.lora import new_adapter
from edgecore_aiprod.pipeline import shipped_checkpoint
from edgecore_aiprod.world import render, sample_scene
from edgecore_sdk import Client

from .conftest import Command

SECONDS = 120.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def http(base_url: str, api_key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {api_key}"}
    with httpx.Client(base_url=f"{base_url}/api/v1", headers=headers, timeout=30.0) as connected:
        yield connected


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """A blue square on plain ground: the first frame of a rendered scene."""
    scene = sample_scene(np.random.default_rng(1), shape="square", plain=True)
    return render(scene)[0]


@pytest.fixture(scope="module")
def adapter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the shipped model that was trained on nothing: it disturbs."""
    torch.manual_seed(3)
    adapter = new_adapter(load_model(shipped_checkpoint()), rank=2, alpha=2.0, name="disturbance")
    for pair in adapter.weights.values():
        pair.up_OR.normal_(std=0.05)
    path = tmp_path_factory.mktemp("adapter") / "disturbance.safetensors"
    save_adapter(adapter, path)
    return path


def png(picture_HWC: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture_HWC).save(data, "PNG")
    return data.getvalue()


def made(http: httpx.Client, client: Client, **fields: Any) -> NDArray[np.uint8]:
    """The delivered video's frames (frames, height, width, 3)."""
    body = {"prompt": "a red circle moving right", "seed": 5} | fields
    answer = http.post("/generate", json=body)
    assert answer.status_code == 202, answer.text
    job = client.wait(answer.json()["id"], SECONDS)
    assert job.state == "DELIVERED", job.error
    video = http.get(f"/jobs/{job.id}/video").content
    with av.open(io.BytesIO(video)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def refused(http: httpx.Client, **fields: Any) -> str:
    """Which field the refusal names."""
    answer = http.post("/generate", json={"prompt": "a red circle moving right"} | fields)
    assert answer.status_code == 422, answer.text
    return str(answer.json()["errors"][0]["field"])


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The mean absolute difference in grey levels of 255."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_a_video_begins_with_the_picture_that_was_given(
    http: httpx.Client, client: Client, picture: NDArray[np.uint8]
) -> None:
    upload = http.post("/uploads", content=png(picture), headers={"Content-Type": "image/png"})
    assert upload.status_code == 201, upload.text
    assert (upload.json()["width"], upload.json()["height"]) == (64, 64)
    without = made(http, client)
    begun = made(http, client, image=upload.json()["id"])
    assert apart(begun[0], picture) < 8.0 < apart(without[0], picture)
    inline = f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"
    assert np.array_equal(made(http, client, image=inline), begun)


def test_motion_follows_the_field_and_not_the_words(http: httpx.Client, client: Client) -> None:
    asked = made(http, client, flow_guidance={"motion": [-1.2, 0.0]})
    assert detect(asked).motion == "left"
    silent = made(http, client, flow_guidance={"motion": [-1.2, 0.0], "strength": 0.0})
    assert np.array_equal(silent, made(http, client)), "strength 0 is as if nothing had been said"


def test_the_distilled_variant_and_the_second_stage(http: httpx.Client, client: Client) -> None:
    large = made(http, client, variant="distilled", upscale=True)
    assert large.shape == (17, 128, 128, 3)
    seen = detect(large)
    assert (seen.colour, seen.shape, seen.motion) == ("red", "circle", "right")


def test_an_adapter_comes_and_goes(http: httpx.Client, client: Client, adapter_file: Path) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    added = http.post("/adapters", params={"name": "noise"}, content=adapter_file.read_bytes(), headers=headers)
    assert added.status_code == 201, added.text
    adapter_id = added.json()["id"]
    plain = made(http, client, steps=2)
    disturbed = made(http, client, steps=2, adapters=[{"id": adapter_id}])
    assert apart(disturbed, plain) > 1.0
    assert np.array_equal(made(http, client, steps=2), plain), "taken off to the bit"
    assert adapter_id in {one["id"] for one in http.get("/adapters").json()["data"]}
    assert http.delete(f"/adapters/{adapter_id}").status_code == 204
    assert refused(http, adapters=[{"id": adapter_id}]).startswith("adapters")


def test_what_does_not_fit_is_refused_by_field(http: httpx.Client) -> None:
    assert refused(http, image="upl_nobody") == "image"
    assert refused(http, image="data:image/png;base64,AAAA") == "image"
    assert refused(http, flow_guidance={"motion": [99, 0]}).startswith("flow_guidance")
    assert refused(http, variant="distilled", negative_prompt="blue") == "negative_prompt"
    assert refused(http, variant="distilled", steps=5) == "steps"
    assert refused(http, variant="turbo") == "variant"
    broken = http.post("/adapters", content=b"\x00" * 64, headers={"Content-Type": "application/octet-stream"})
    assert broken.status_code == 422


def test_the_command_says_it_all(edgecore: Command, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    (tmp_path / "first.png").write_bytes(png(picture))
    options = ["--image", "first.png", "--motion=-1,0", "--motion-strength", "0.5", "--variant", "distilled"]
    estimate = edgecore("estimate", "a blue square moving left", *options, "--upscale")
    assert "take aiprod aiprod-nano" in estimate.stdout, estimate.stdout + estimate.stderr
    done = edgecore("generate", "a blue square moving left", *options, "--upscale", "-o", "out.mp4")
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (128, 128)
