"""The node with the real engine: the shipped model where it lies in the package, else one without training."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecore.common.v1.common_pb2 import Reason
from edgecore.scheduler.v1.scheduler_pb2 import Stage
from edgecore_aiprod.checkpoint import build_model, save_model
from edgecore_aiprod.pipeline import shipped_checkpoint
from edgecore_aiprod.presets import PRESETS
from edgecore_inference.bootstrap import ENGINE
from edgecore_inference.media.decode import pictures, probe
from edgecore_runtime.testing import eventually

from .conftest import StartNode, ended, engine_of, running
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
