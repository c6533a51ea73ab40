"""The node at work, with a stand-in engine: what the scheduler says and what it then hears."""

import hashlib
from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from edgecore.common.v1.common_pb2 import Reason
from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1.scheduler_pb2 import Finished, LeaseRef, Stage
from edgecore_inference.media.decode import probe
from edgecore_runtime.testing import eventually

from .conftest import Node
from .fake_scheduler import FakeScheduler

SUCCEEDED = AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED
FAILED = AttemptOutcome.ATTEMPT_OUTCOME_FAILED
CANCELLED = AttemptOutcome.ATTEMPT_OUTCOME_CANCELLED


async def report_of(scheduler: FakeScheduler, lease: LeaseRef) -> Finished:
    return (await eventually(lambda: scheduler.reports(lease)))[0]


def are_stored(node: Node, report: Finished) -> bool:
    """The files in the store are those of the report, all of them, and nothing else."""
    artifacts = [report.artifact, *report.other_artifacts]
    found = {path.relative_to(node.artifacts).as_posix(): path.read_bytes() for path in node.files()}
    assert found.keys() == {one.key for one in artifacts}
    for one in artifacts:
        content = found[one.key]
        assert (one.size_bytes, one.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return sum(map(len, found.values())) == report.measurements.artifact_bytes


async def test_registers_when_the_engine_is_ready(node: Node, scheduler: FakeScheduler) -> None:
    registered = scheduler.registrations()[0]
    assert registered.node_id == "node-1"
    assert (registered.pool, registered.backend, registered.device) == ("default", "aiprod", "cpu")
    assert list(registered.models) == ["aiprod-nano"]
    assert registered.capacity == 1
    assert not registered.leases
    await node.ready()
    async with httpx.AsyncClient(base_url=node.url) as client:
        ready = await client.get("/health/ready")
        assert ready.json() == {"status": "ok", "failures": {}}
        assert "edgecore_inference_engine_starts_total" in (await client.get("/metrics")).text


async def test_a_job_ends_with_a_video(node: Node, scheduler: FakeScheduler) -> None:
    lease = scheduler.assign("job-1", frames=9, fps=12.5, width=96)
    report = await report_of(scheduler, lease)

    assert (report.outcome, report.reason) == (SUCCEEDED, Reason.REASON_COMPLETED)
    assert report.artifact.key == "jobs/job-1/1-1/video.mp4"
    path = node.artifacts / report.artifact.key
    assert (report.artifact.format, report.artifact.media_type) == ("mp4", "video/mp4")
    [thumbnail] = report.other_artifacts
    assert (thumbnail.format, thumbnail.key) == ("thumbnail", "jobs/job-1/1-1/thumbnail.jpg")
    assert are_stored(node, report)
    found = probe(path, "mp4")
    assert (found.frames, found.width, found.height) == (9, 96, 64)
    assert found.fps == pytest.approx(12.5)
    assert found.seconds == pytest.approx(9 / 12.5)

    used = report.measurements
    assert used.device == "cpu"
    assert used.frames == 9
    assert used.tokens == 9 * 64 * 96 // 1024
    assert used.quality["mp4.frames"] == 9
    assert used.quality["mp4.variation"] > 20
    assert used.quality["mp4.motion"] > 0.5
    assert used.peak_memory_bytes > 10 * 2**20
    assert min(used.generate_seconds, used.encode_seconds, used.upload_seconds) > 0
    assert not node.scratch_files()


async def test_every_format_in_the_order_asked_for(node: Node, scheduler: FakeScheduler) -> None:
    lease = scheduler.assign("job-1", formats=["prores", "mp4", "webm"], frames=9, fps=23.976, width=96)
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.detail) == (SUCCEEDED, "")
    artifacts = [report.artifact, *report.other_artifacts]
    assert [(one.format, one.key.rpartition("/")[2], one.media_type) for one in artifacts] == [
        ("prores", "video.mov", "video/quicktime"),
        ("mp4", "video.mp4", "video/mp4"),
        ("webm", "video.webm", "video/webm"),
        ("thumbnail", "thumbnail.jpg", "image/jpeg"),
    ]
    assert are_stored(node, report)
    for one in artifacts[:3]:
        found = probe(node.artifacts / one.key, one.format)
        assert (found.frames, found.width, found.height) == (9, 96, 64) == (one.frames, one.width, one.height)
        assert found.fps == pytest.approx(23.976, rel=1e-3)
        assert report.measurements.quality[f"{one.format}.seconds"] == pytest.approx(9 / 23.976, abs=0.002)
    thumbnail = artifacts[3]
    assert (thumbnail.width, thumbnail.height, thumbnail.frames) == (96, 64, 1)
    [picture] = pictures_of(node.artifacts / thumbnail.key)
    assert picture.shape == (64, 96, 3)
    # The middle frame: the square of the stand-in is 8 pixels from the left edge by then.
    assert picture[20, 18, 0] > 180
    assert picture[20, 60].max() < 40


def pictures_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


async def test_progress_tells_every_stage_in_order(node: Node, scheduler: FakeScheduler) -> None:
    lease = scheduler.assign("job-1")
    await report_of(scheduler, lease)
    stages = [one.stage for one in scheduler.progress(lease)]
    assert sorted(set(stages)) == [
        Stage.STAGE_LOADING,
        Stage.STAGE_SAMPLING,
        Stage.STAGE_DECODING,
        Stage.STAGE_ENCODING,
        Stage.STAGE_UPLOADING,
    ]
    assert stages == sorted(stages)
    last_step = [one.step for one in scheduler.progress(lease) if one.stage == Stage.STAGE_SAMPLING][-1]
    assert last_step == 4


async def test_prints_do_not_disturb_the_channel(node: Node, scheduler: FakeScheduler) -> None:
    lease = scheduler.assign("job-1", prompt="chatter")
    assert (await report_of(scheduler, lease)).outcome == SUCCEEDED


async def test_cancel_stops_at_a_step(node: Node, scheduler: FakeScheduler, tmp_path) -> None:
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/never")
    await eventually(lambda: scheduler.sampling(lease))
    engine = node.engine_pid()
    scheduler.cancel(lease)
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.reason) == (CANCELLED, Reason.REASON_CANCELLED_BY_USER)
    assert report.measurements.generate_seconds > 0
    assert report.measurements.peak_memory_bytes > 0
    assert node.engine_pid() == engine
    assert not node.files()

    after = scheduler.assign("job-2")
    assert (await report_of(scheduler, after)).outcome == SUCCEEDED


async def test_a_second_job_is_given_back(node: Node, scheduler: FakeScheduler, tmp_path) -> None:
    first = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/go")
    await eventually(lambda: scheduler.sampling(first))
    second = await report_of(scheduler, scheduler.assign("job-2"))
    assert (second.outcome, second.reason) == (FAILED, Reason.REASON_NODE_DRAINED)
    (tmp_path / "go").touch()
    assert (await report_of(scheduler, first)).outcome == SUCCEEDED


async def test_an_assignment_said_twice_is_done_once(node: Node, scheduler: FakeScheduler) -> None:
    lease = scheduler.assign("job-1")
    scheduler.assign("job-1")
    await report_of(scheduler, lease)
    last = scheduler.assign("job-2")
    await report_of(scheduler, last)
    assert len(scheduler.reports(lease)) == 1


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"prompt": "oom"}, Reason.REASON_OUT_OF_MEMORY, "MemoryError"),
        ({"prompt": "cuda"}, Reason.REASON_OUT_OF_MEMORY, "CUDA out of memory"),
        ({"prompt": "refuse"}, Reason.REASON_INVALID_SPEC, "steps: at most 50, nearest 50"),
        ({"prompt": "bug"}, Reason.REASON_ENGINE_FAILED, "KeyError"),
        ({"prompt": "black"}, Reason.REASON_QUALITY, "is black"),
        ({"prompt": "short"}, Reason.REASON_QUALITY, "mp4 frames: decodes to 16, not 17"),
        ({"prompt": "narrow"}, Reason.REASON_QUALITY, "mp4 size: is 48×64 pixels, not 64×64"),
        ({"prompt": "black", "formats": ["webm", "prores"]}, Reason.REASON_QUALITY, "; prores content: is black"),
        ({"formats": ["gif"]}, Reason.REASON_INVALID_SPEC, "formats: one of mp4, webm, prores, not 'gif'"),
        ({"model": "other"}, Reason.REASON_INVALID_SPEC, "model: this node runs aiprod-nano, not 'other'"),
    ],
)
async def test_a_failure_has_a_reason(node, scheduler, spec, reason, words) -> None:
    engine = node.engine_pid()
    report = await report_of(scheduler, scheduler.assign("job-1", **spec))
    assert (report.outcome, report.reason) == (FAILED, reason)
    assert words in report.detail
    assert not report.HasField("artifact")
    assert not report.other_artifacts
    assert not node.files()
    assert not node.scratch_files()
    assert (await report_of(scheduler, scheduler.assign("job-2"))).outcome == SUCCEEDED
    assert node.engine_pid() == engine


async def test_heartbeats_name_what_is_held(node: Node, scheduler: FakeScheduler) -> None:
    scheduler.answers = False
    lease = scheduler.assign("job-1")
    report = await report_of(scheduler, lease)
    seen = len(scheduler.heartbeats())
    await eventually(lambda: len(scheduler.heartbeats()) > seen + 2)
    assert list(scheduler.heartbeats()[-1].leases) == [lease]

    scheduler.answer(report)
    await eventually(scheduler.nothing_held)


async def test_drain_lets_the_job_finish(node: Node, scheduler: FakeScheduler, tmp_path) -> None:
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/go")
    await eventually(lambda: scheduler.sampling(lease))
    scheduler.drain()
    (tmp_path / "go").touch()
    assert (await report_of(scheduler, lease)).outcome == SUCCEEDED
