"""The node with the real engine: the shipped model where it lies in the package, else one without training."""

import hashlib
import io
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgecore.common.v1.common_pb2 import AdapterUse, FlowGuidance, Reason
from edgecore.scheduler.v1.scheduler_pb2 import Finished, Stage
from edgecore_aiprod.adapter import Adapter, LowRank, save_adapter
from edgecore_aiprod.checkpoint import load_model, save_model
from edgecore_aiprod.detector import detect
from edgecore_aiprod.lora import new_adapter
from edgecore_aiprod.model import Model, build_model
from edgecore_aiprod.pipeline import shipped_checkpoint
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.upsampler import LatentUpsampler
from edgecore_aiprod.world import render, sample_scene
from edgecore_inference.bootstrap import ENGINE
from edgecore_inference.media.decode import pictures, probe
from edgecore_runtime.testing import eventually

from .conftest import Node, StartNode, ended, engine_of, running
from .fake_preview import FakePreview, picture_of
from .fake_scheduler import FakeScheduler
from .test_work import CANCELLED, FAILED, SUCCEEDED, report_of

JOB_SECONDS = 60
RED = {"prompt": "a red circle moving right", "seed": 1}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (shipped_checkpoint() / "config.json").exists():
        return shipped_checkpoint()
    folder = tmp_path_factory.mktemp("untrained")
    torch.manual_seed(0)
    save_model(build_model(PRESETS["nano"]), folder, {"untrained": True})
    return folder


def last_step(scheduler: FakeScheduler, lease) -> int:
    """Sampling steps that the scheduler knows to be done."""
    sampled = [one.step for one in scheduler.progress(lease) if one.stage == Stage.STAGE_SAMPLING]
    return max(sampled, default=0)


async def test_one_prompt_in_one_video_out(start_node: StartNode, scheduler, checkpoint) -> None:
    node = await start_node(engine=ENGINE, checkpoint=str(checkpoint), engine_grace_seconds=10.0)
    lease = scheduler.assign("job-1", steps=6, **RED)
    await eventually(lambda: scheduler.reports(lease), JOB_SECONDS)
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.detail) == (SUCCEEDED, "")
    path = node.artifacts / report.artifact.key
    assert report.measurements.tokens == 5 * 4 * 4
    found = probe(path, "mp4")
    assert (found.frames, found.width, found.height, found.fps) == (17, 64, 64, 8.0)
    assert found.seconds == pytest.approx(17 / 8)
    assert last_step(scheduler, lease) == 6

    # A job that is cancelled stops at a step, and the same engine takes the next.
    engine = node.engine_pid("edgecore_inference.engine")
    long = scheduler.assign("job-2", steps=50, width=128, height=128, frames=33, **RED)
    await eventually(lambda: last_step(scheduler, long) >= 1, JOB_SECONDS)
    scheduler.cancel(long)
    await eventually(lambda: scheduler.reports(long), JOB_SECONDS)
    assert scheduler.reports(long)[0].outcome == CANCELLED
    assert last_step(scheduler, long) < 50

    refused = scheduler.assign("job-3", width=70)
    report = await report_of(scheduler, refused)
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_INVALID_SPEC)
    assert report.detail.startswith("width: a multiple of 16 from 64 to 128, not 70")
    assert node.engine_pid("edgecore_inference.engine") == engine
    assert len(node.files()) == 2


async def test_previews_become_the_video(start_node: StartNode, scheduler, checkpoint) -> None:
    preview = FakePreview()
    await preview.start()
    address = f"127.0.0.1:{preview.port}"
    node = await start_node(engine=ENGINE, checkpoint=str(checkpoint), preview_address=address, preview_share=1.0)
    await eventually(lambda: preview.streams)
    lease = scheduler.assign("job-1", steps=12, **RED)
    await eventually(lambda: scheduler.reports(lease), JOB_SECONDS)
    report = await report_of(scheduler, lease)
    await node.leave()
    await preview.stop()

    final = list(pictures(node.artifacts / report.artifact.key, "mp4"))
    frames = preview.of("job-1")
    assert len(frames) >= 4
    steps = [one.step for one in frames]
    assert steps == sorted(steps)
    assert {one.frame % 4 for one in frames} == {0}, "each is the last picture of a latent"
    away = [np.abs(picture_of(one).astype(int) - final[one.frame]).mean() for one in frames]
    assert away[-1] < 6, "the last one is of the video itself"
    assert min(np.std(picture_of(one)) for one in frames) > 1, "none is blank"


def changing(model: Model, name: str) -> Adapter:
    """An adapter that has learnt nothing and changes a lot."""
    empty = new_adapter(model, 2, 2.0, name, ["backbone.blocks.*"])
    torch.manual_seed(3)
    weights = {
        layer: LowRank(pair.down_RI, 0.1 * torch.randn(pair.up_OR.shape)) for layer, pair in empty.weights.items()
    }
    return replace(empty, weights=weights)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """The same model with the parts that a checkpoint may lack, untrained."""
    model = load_model(checkpoint)
    assert model.params.upsampler is not None
    upsampler = LatentUpsampler(model.params.upsampler, model.params.vae.latent).eval()
    folder = tmp_path_factory.mktemp("whole")
    save_model(replace(model, upsampler=upsampler, distilled=changing(model, "distilled")), folder)
    return folder


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """The same model without them."""
    folder = tmp_path_factory.mktemp("bare")
    save_model(replace(load_model(checkpoint), upsampler=None, distilled=None), folder)
    return folder


async def done(node: Node, scheduler: FakeScheduler, job_id: str, **spec: object) -> Finished:
    """The report of a job that went well."""
    lease = scheduler.assign(job_id, **{**RED, **spec})
    await eventually(lambda: scheduler.reports(lease), JOB_SECONDS)
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.detail) == (SUCCEEDED, "")
    return report


def clip_of(node: Node, report: Finished) -> np.ndarray:
    """(frames, height, width, 3) as a viewer sees it."""
    return np.stack(list(pictures(node.artifacts / report.artifact.key, "mp4")))


def put(node: Node, key: str, content: bytes) -> str:
    """Into the artifact store; returns the SHA-256."""
    (node.artifacts / key).parent.mkdir(parents=True, exist_ok=True)
    (node.artifacts / key).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def png(picture_HWC: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture_HWC).save(file, "PNG")
    return file.getvalue()


async def test_the_first_frame_is_kept_and_the_motion_followed(start_node, scheduler) -> None:
    """Of the shipped model: an untrained one follows nothing."""
    node = await start_node(engine=ENGINE)
    first = render(sample_scene(np.random.default_rng(0), motion="left", colour="blue", shape="square"))[0]
    put(node, "inputs/first", png(first))
    report = await done(
        node, scheduler, "job-1", prompt="a blue square moving right", image="inputs/first", steps=8
    )
    clip = clip_of(node, report)
    assert np.abs(clip[0].astype(int) - first).mean() < 5
    assert np.abs(clip[-1].astype(int) - first).mean() > 8, "and moves on from there"

    left = FlowGuidance(right=-1.5, down=0.0, strength=1.0)
    report = await done(node, scheduler, "job-2", prompt="a red circle moving right", flow_guidance=left, steps=8)
    seen = detect(clip_of(node, report))
    assert (seen.colour, seen.motion) == ("red", "left")


async def test_an_adapter_changes_the_video_and_leaves_no_trace(
    start_node, scheduler, checkpoint, tmp_path
) -> None:
    node = await start_node(engine=ENGINE, checkpoint=str(checkpoint))
    save_adapter(changing(load_model(checkpoint), "mine"), tmp_path / "mine")
    digest = put(node, "adapters/mine", (tmp_path / "mine").read_bytes())

    async def made(job_id: str, *scales: float) -> str:
        uses = [AdapterUse(id="lora_mine", key="adapters/mine", sha256=digest, scale=one) for one in scales]
        return (await done(node, scheduler, job_id, adapters=uses, steps=3, frames=5)).artifact.sha256

    plain = await made("job-1")
    assert await made("job-2", 1.0) != plain
    (node.artifacts / "adapters/mine").unlink()
    half = await made("job-3", 0.5)
    assert half not in (plain, await made("job-4", 1.0))
    assert await made("job-5") == plain


async def test_both_stages_and_the_distilled_variant(start_node, scheduler, whole) -> None:
    preview = FakePreview()
    await preview.start()
    address = f"127.0.0.1:{preview.port}"
    node = await start_node(engine=ENGINE, checkpoint=str(whole), preview_address=address, preview_share=1.0)
    await eventually(lambda: preview.streams)
    report = await done(node, scheduler, "job-1", upscale=True, variant="distilled", steps=4, frames=9)
    plain = await done(node, scheduler, "job-2", variant="standard", steps=4, frames=9)
    await node.leave()
    await preview.stop()

    found = probe(node.artifacts / report.artifact.key, "mp4")
    assert (found.frames, found.width, found.height) == (9, 128, 128)
    assert (report.artifact.width, report.artifact.height) == (128, 128)
    assert report.measurements.tokens == plain.measurements.tokens == 3 * 4 * 4
    sizes = [one.width for one in preview.of("job-1")]
    assert sizes[0] == 64
    assert sizes[-1] == 128
    assert sizes == sorted(sizes)


BROKEN = b"neither a picture nor an adapter"
REFUSED = [
    ({"upscale": True}, "upscale: false: this checkpoint has no upsampler, not True"),
    ({"variant": "distilled"}, "variant: standard: this checkpoint has no distilled variant, not 'distilled'"),
    ({"variant": "fast"}, "variant: one of standard, distilled, not 'fast'"),
    ({"image": "inputs/broken"}, "image: a PNG, JPEG or WebP file, not "),
    (
        {"flow_guidance": FlowGuidance(right=32.0, strength=1.0)},
        "motion: at most 16.0 pixels a frame, not '32 pixels'",
    ),
    (
        {"adapters": [AdapterUse(id="lora_1", key="inputs/broken", sha256=hashlib.sha256(BROKEN).hexdigest())]},
        "adapters: lora_1 is not a safetensors file: ",
    ),
]


async def test_what_the_model_refuses_it_refuses_in_its_words(start_node, scheduler, bare) -> None:
    node = await start_node(engine=ENGINE, checkpoint=str(bare))
    put(node, "inputs/broken", BROKEN)
    for number, (spec, words) in enumerate(REFUSED):
        lease = scheduler.assign(f"job-{number}", **{**RED, **spec})
        await eventually(lambda refused=lease: scheduler.reports(refused), JOB_SECONDS)
        report = await report_of(scheduler, lease)
        assert (report.outcome, report.reason) == (FAILED, Reason.REASON_INVALID_SPEC)
        assert report.detail.startswith(words)


async def test_engine_killed_in_mid_step(start_node: StartNode, scheduler, checkpoint) -> None:
    node = await start_node(engine=ENGINE, checkpoint=str(checkpoint))
    lease = scheduler.assign("job-1", steps=50, width=128, height=128, frames=33, **RED)
    await eventually(lambda: last_step(scheduler, lease) >= 1, JOB_SECONDS)
    os.kill(node.engine_pid("edgecore_inference.engine"), signal.SIGKILL)
    report = await report_of(scheduler, lease)
    assert (report.reason, report.detail) == (Reason.REASON_ENGINE_FAILED, "the engine was ended by SIGKILL")

    after = scheduler.assign("job-2", steps=2, **RED)
    await eventually(lambda: scheduler.reports(after), JOB_SECONDS)
    assert scheduler.reports(after)[0].outcome == SUCCEEDED


async def test_no_engine_outlives_a_killed_agent(start_agent, scheduler, checkpoint) -> None:
    agent = await start_agent("-m", "edgecore_inference", "serve", EDGECORE_CHECKPOINT=str(checkpoint))
    await eventually(lambda: scheduler.connected, JOB_SECONDS)
    lease = scheduler.assign("job-1", steps=50, width=128, height=128, frames=33, **RED)
    await eventually(lambda: last_step(scheduler, lease) >= 1, JOB_SECONDS)
    engine = engine_of(agent)
    agent.kill()
    await eventually(lambda: not running(engine))


async def test_corrupt_checkpoint_is_one_clear_line(start_agent, checkpoint, tmp_path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint, broken)
    weights = broken / "backbone.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    agent = await start_agent("-m", "edgecore_inference", "serve", EDGECORE_CHECKPOINT=str(broken))
    status, lines = await ended(agent)
    assert status == 3
    assert len(lines) == 1
    assert lines[0].startswith("inference: checkpoint: backbone.safetensors: sha256 is ")
