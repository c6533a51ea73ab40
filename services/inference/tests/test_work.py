"""The node at work, with a stand-in engine: what the scheduler says and what it then hears."""

import hashlib

import httpx
import pytest

from edgecore.common.v1.common_pb2 import Reason
from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1.scheduler_pb2 import Finished, LeaseRef, Stage
from edgecore_inference.engine.video import probe_mp4
from edgecore_runtime.testing import eventually

from .conftest import Node
from .fake_scheduler import FakeScheduler

SUCCEEDED = AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED
FAILED = AttemptOutcome.ATTEMPT_OUTCOME_FAILED
CANCELLED = AttemptOutcome.ATTEMPT_OUTCOME_CANCELLED


async def report_of(scheduler: FakeScheduler, lease: LeaseRef) -> Finished:
    return (await eventually(lambda: scheduler.reports(lease)))[0]


async def test_registers_when_the_engine_is_ready(node: Node, scheduler: FakeScheduler) -> None:
    registered = scheduler.registrations()[0]
    assert registered.node_id == "node-1"
    assert (registered.pool, registered.backend, registered.device) == ("default", "aiprod", "cpu")
    assert list(registered.models) == ["aiprod-nano"]
    assert registered.capacity == 1
    assert not registered.leases
    async with httpx.AsyncClient(base_url=node.url) as client:
        ready = await client.get("/health/ready")
        assert ready.json() == {"status": "ok", "failures": {}}
        assert "edgecore_inference_engine_starts_total" in (await client.get("/metrics")).text


async def test_a_job_ends_with_a_video(node: Node, scheduler: FakeScheduler) -> None:
    lease = scheduler.assign("job-1", frames=9, fps=12.5, width=96)
    report = await report_of(scheduler, lease)

    assert (report.outcome, report.reason) == (SUCCEEDED, Reason.REASON_COMPLETED)
    [path] = node.files()
    assert report.artifact.key == "jobs/job-1/1-1/video.mp4"
    assert path == node.artifacts / report.artifact.key
    assert report.artifact.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report.artifact.size_bytes == path.stat().st_size == report.measurements.artifact_bytes
    probe = probe_mp4(path)
    assert (probe.frames, probe.width, probe.height) == (9, 96, 64)
    assert probe.fps == pytest.approx(12.5)
    assert probe.seconds == pytest.approx(9 / 12.5)

    used = report.measurements
    assert used.device == "cpu"
    assert used.frames == 9
    assert used.peak_memory_bytes > 10 * 2**20
    assert min(used.generate_seconds, used.encode_seconds, used.upload_seconds) > 0
    assert not node.scratch_files()


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
        ({"prompt": "short"}, Reason.REASON_QUALITY, "decodes to 16 frames, not 17"),
        ({"model": "other"}, Reason.REASON_INVALID_SPEC, "model: this node runs aiprod-nano, not 'other'"),
    ],
)
async def test_a_failure_has_a_reason(node, scheduler, spec, reason, words) -> None:
    engine = node.engine_pid()
    report = await report_of(scheduler, scheduler.assign("job-1", **spec))
    assert (report.outcome, report.reason) == (FAILED, reason)
    assert words in report.detail
    assert not report.HasField("artifact")
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
