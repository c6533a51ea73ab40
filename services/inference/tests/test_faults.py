"""What breaks around a running attempt, and what the node makes of it."""

import os
import shutil
import signal
from pathlib import Path

from edgecore.common.v1.common_pb2 import Reason
from edgecore_inference.domain.lease import RESEND_SECONDS
from edgecore_runtime.clock import FakeClock
from edgecore_runtime.testing import eventually

from .conftest import Node, running
from .fake_scheduler import FakeScheduler
from .test_work import CANCELLED, FAILED, SUCCEEDED, report_of


async def works_again(node: Node, scheduler: FakeScheduler) -> bool:
    report = await report_of(scheduler, scheduler.assign("job-after"))
    return report.outcome == SUCCEEDED


async def test_engine_killed_in_mid_step(node: Node, scheduler: FakeScheduler, tmp_path: Path) -> None:
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/never")
    await eventually(lambda: scheduler.sampling(lease))
    engine = node.engine_pid()
    assert engine is not None
    os.kill(engine, signal.SIGKILL)
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_ENGINE_FAILED)
    assert report.detail == "the engine was ended by SIGKILL"
    assert await works_again(node, scheduler)
    assert node.engine_pid() != engine


async def test_engine_exits_by_itself(node: Node, scheduler: FakeScheduler) -> None:
    report = await report_of(scheduler, scheduler.assign("job-1", prompt="exit"))
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_ENGINE_FAILED)
    assert report.detail == "the engine exited with code 7"
    assert await works_again(node, scheduler)


async def test_engine_killed_while_idle(node: Node, scheduler: FakeScheduler) -> None:
    engine = node.engine_pid()
    assert engine is not None
    os.kill(engine, signal.SIGKILL)
    await eventually(lambda: node.engine_pid() not in (engine, None))
    await node.ready()
    assert await works_again(node, scheduler)
    assert len(scheduler.registrations()) == 1


async def test_deaf_engine_is_killed_after_the_grace(start_node, scheduler, tmp_path) -> None:
    node = await start_node(engine_grace_seconds=0.3)
    lease = scheduler.assign("job-1", prompt=f"deaf:{tmp_path}/never")
    await eventually(lambda: scheduler.sampling(lease))
    engine = node.engine_pid()
    scheduler.cancel(lease)
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.reason) == (CANCELLED, Reason.REASON_CANCELLED_BY_USER)
    assert report.measurements.generate_seconds >= 0.3  # the grace
    assert not running(engine)
    assert await works_again(node, scheduler)


async def test_cancel_said_twice_does_not_kill_the_engine(node, scheduler, tmp_path) -> None:
    engine = node.engine_pid()
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/never")
    await eventually(lambda: scheduler.sampling(lease))
    scheduler.cancel(lease)
    scheduler.cancel(lease)
    assert (await report_of(scheduler, lease)).outcome == CANCELLED
    assert await works_again(node, scheduler)
    assert node.engine_pid() == engine


async def test_cancelled_in_the_same_breath(node: Node, scheduler: FakeScheduler) -> None:
    lease = scheduler.assign("job-1")
    scheduler.cancel(lease)
    assert (await report_of(scheduler, lease)).outcome == CANCELLED
    assert not node.files()
    assert await works_again(node, scheduler)


async def test_stopped_engine_runs_into_the_time_limit(start_node, scheduler: FakeScheduler) -> None:
    node = await start_node(engine_grace_seconds=0.3)
    engine = node.engine_pid()
    assert engine is not None
    lease = scheduler.assign("job-1", prompt="stop", time_limit=2.5)
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_TIMEOUT)
    assert report.detail == "not done after 2.5 s"
    assert not running(engine)
    assert await works_again(node, scheduler)


async def test_slow_but_obedient_engine_survives_the_time_limit(node, scheduler, tmp_path) -> None:
    engine = node.engine_pid()
    report = await report_of(scheduler, scheduler.assign("job-1", prompt=f"hold:{tmp_path}/never", time_limit=0.2))
    assert report.reason == Reason.REASON_TIMEOUT
    assert running(engine)
    assert await works_again(node, scheduler)
    assert node.engine_pid() == engine


async def test_lost_stream_in_mid_job(node: Node, scheduler: FakeScheduler, tmp_path: Path) -> None:
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/go")
    await eventually(lambda: scheduler.sampling(lease))
    scheduler.drop()
    await eventually(lambda: scheduler.streams == 2 and scheduler.connected)
    assert list(scheduler.registrations()[1].leases) == [lease]
    (tmp_path / "go").touch()
    assert (await report_of(scheduler, lease)).outcome == SUCCEEDED


async def test_scheduler_away_while_the_job_ends(node, scheduler, tmp_path) -> None:
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/go")
    await eventually(lambda: scheduler.sampling(lease))
    await scheduler.stop()
    (tmp_path / "go").touch()
    await eventually(node.files)
    await scheduler.start()
    report = await report_of(scheduler, lease)
    assert report.outcome == SUCCEEDED
    assert list(scheduler.registrations()[-1].leases) == [lease]


async def test_reports_are_repeated_until_accepted(node: Node, scheduler: FakeScheduler) -> None:
    scheduler.answers = False
    lease = scheduler.assign("job-1")
    await report_of(scheduler, lease)
    for streams in (2, 3):
        scheduler.drop()
        await eventually(lambda wanted=streams: scheduler.streams == wanted)
        await eventually(lambda wanted=streams: len(scheduler.reports(lease)) == wanted)
        assert list(scheduler.registrations()[-1].leases) == [lease]
    # On the same stream too, after a while.
    await eventually(lambda: len(scheduler.reports(lease)) == 4, RESEND_SECONDS + 5)
    scheduler.answer(scheduler.reports(lease)[-1])
    await eventually(scheduler.nothing_held)
    assert len({report.SerializeToString(deterministic=True) for report in scheduler.reports(lease)}) == 1
    assert len(node.files()) == 2


async def test_revoked_while_it_runs(node: Node, scheduler: FakeScheduler, tmp_path: Path) -> None:
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/never")
    await eventually(lambda: scheduler.sampling(lease))
    scheduler.revoke(lease)
    await eventually(scheduler.nothing_held)
    assert await works_again(node, scheduler)
    assert not scheduler.reports(lease)
    assert {path.parts[-3] for path in node.files()} == {"job-after"}


async def test_revoked_after_the_upload(node: Node, scheduler: FakeScheduler) -> None:
    scheduler.answers = False
    lease = scheduler.assign("job-1")
    report = await report_of(scheduler, lease)
    assert len(node.files()) == 2
    scheduler.granted.clear()
    scheduler.answer(report)
    await eventually(lambda: not node.files())
    await eventually(scheduler.nothing_held)


async def test_a_stale_lease_is_revoked_at_reconnect(node, scheduler, tmp_path) -> None:
    """The scheduler came back and knows another holder: the report of the old one is refused."""
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/go")
    await eventually(lambda: scheduler.sampling(lease))
    await scheduler.stop()
    scheduler.granted.clear()
    (tmp_path / "go").touch()
    await eventually(node.files)
    await scheduler.start()
    await report_of(scheduler, lease)
    await eventually(lambda: not node.files())


async def test_no_contact_for_the_ttl_stops_the_work(settings, scheduler, tmp_path, start_node) -> None:
    clock = FakeClock()
    node = await start_node(clock=clock)
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/never")
    await eventually(lambda: scheduler.sampling(lease))
    engine = node.engine_pid()
    # Heartbeats keep it alive past its TTL.
    for _ in range(4):
        seen = len(scheduler.heartbeats())
        clock.advance(scheduler.ttl / 3)
        await eventually(lambda seen=seen: len(scheduler.heartbeats()) > seen)
    assert list(scheduler.heartbeats()[-1].leases) == [lease]

    await scheduler.stop()
    clock.advance(scheduler.ttl + 1)
    await eventually(lambda: not node.scratch_files())
    assert node.engine_pid() == engine
    await scheduler.start()
    await eventually(lambda: scheduler.connected)
    assert not scheduler.registrations()[-1].leases
    assert not scheduler.reports(lease)
    assert await works_again(node, scheduler)


async def test_artifact_folder_cannot_be_written(node: Node, scheduler: FakeScheduler) -> None:
    shutil.rmtree(node.artifacts)
    node.artifacts.write_text("a file where the folder was")
    report = await report_of(scheduler, scheduler.assign("job-1"))
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_STORAGE)
    assert "jobs/job-1/1-1/video.mp4" in report.detail
    assert not report.HasField("artifact")
    assert report.measurements.generate_seconds > 0

    node.artifacts.unlink()
    node.artifacts.mkdir()
    assert await works_again(node, scheduler)


async def test_all_files_are_stored_or_none(node: Node, scheduler: FakeScheduler) -> None:
    """The second of three cannot be written: something else has its name."""
    (node.artifacts / "jobs/job-1/1-1/video.webm/taken").mkdir(parents=True)
    report = await report_of(scheduler, scheduler.assign("job-1", formats=["mp4", "webm", "prores"]))
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_STORAGE)
    assert "jobs/job-1/1-1/video.webm" in report.detail
    assert not report.HasField("artifact")
    assert not report.other_artifacts
    assert not node.files()
    assert await works_again(node, scheduler)


async def test_scratch_folder_gone(node: Node, scheduler: FakeScheduler) -> None:
    shutil.rmtree(node.scratch)
    report = await report_of(scheduler, scheduler.assign("job-1"))
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_STORAGE)
    assert "scratch folder" in report.detail
    node.scratch.mkdir()
    assert await works_again(node, scheduler)


async def test_stale_scratch_files_are_removed_at_start(tmp_path, start_node) -> None:
    stale = tmp_path / "scratch" / "inference-node-1" / "tmp-old"
    stale.mkdir(parents=True)
    (stale / "video.mp4").write_bytes(b"half a video")
    node = await start_node()
    assert not node.scratch_files()


async def test_leaving_finishes_the_job(settings, scheduler, tmp_path, start_node) -> None:
    node = await start_node()
    lease = scheduler.assign("job-1", prompt=f"hold:{tmp_path}/go")
    await eventually(lambda: scheduler.sampling(lease))
    leaving = node.leave()
    refused = await report_of(scheduler, scheduler.assign("job-2"))
    assert refused.reason == Reason.REASON_NODE_DRAINED
    (tmp_path / "go").touch()
    await leaving
    assert (await report_of(scheduler, lease)).outcome == SUCCEEDED
    assert node.engine_pid() is None


async def test_leaving_gives_back_what_takes_too_long(settings, scheduler, tmp_path, start_node) -> None:
    node = await start_node(drain_seconds=0.2, engine_grace_seconds=0.3)
    engine = node.engine_pid()
    lease = scheduler.assign("job-1", prompt=f"deaf:{tmp_path}/never")
    await eventually(lambda: scheduler.sampling(lease))
    await node.leave()
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.reason) == (
        FAILED,
        Reason.REASON_NODE_DRAINED,
    )
    assert not running(engine)
    assert not node.scratch_files()
