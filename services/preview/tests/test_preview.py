"""Publish, Subscribe and Snapshot, as nodes and viewers see them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from edgecore.preview.v1 import preview_pb2 as pb
from edgecore_preview.adapters import store
from edgecore_preview.entrypoints import grpc_service
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.testing import eventually


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need more than the second that the service gives Redis; test_faults.py is about that."""
    monkeypatch.setattr(grpc_service, "SETTLE_SECONDS", 20.0)
    monkeypatch.setattr(store, "CALL_SECONDS", 20.0)


async def metric(preview: Any, name: str) -> float:
    async with httpx.AsyncClient(base_url=preview.url) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} "))


async def watched(preview: Any, viewer: Any, frame: pb.Frame) -> None:
    """Once the viewer gets what is published from now on: it has seen the frame given."""
    assert await preview.publish(frame) == (1, 0)
    await eventually(lambda: viewer.seen)


async def test_frames_reach_a_viewer_as_they_were_made(preview: Any, kit: SimpleNamespace, job_id: str) -> None:
    viewer = preview.view(job_id)
    sent = [kit.made(job_id, count, size=20_000 + count) for count in range(1, 6)]
    for count, frame in enumerate(sent, 1):
        assert await preview.publish(frame) == (1, 0)
        await eventually(lambda count=count: len(viewer.seen) == count)
    assert [one.frame for one in viewer.seen] == sent
    assert viewer.skipped == 0
    assert await preview.snapshot(job_id) == sent[-1]


async def test_one_stream_carries_the_frames_of_many_jobs(preview: Any, kit: SimpleNamespace) -> None:
    jobs = [f"job_{number}_{id(kit)}" for number in range(5)]
    assert await preview.publish(*(kit.made(job, count) for count in (1, 2, 3) for job in jobs)) == (15, 0)
    for job in jobs:
        assert (await preview.snapshot(job)).number == 2**20 + 3


async def test_who_comes_late_gets_what_is_kept_and_then_what_comes(
    preview: Any, kit: SimpleNamespace, job_id: str
) -> None:
    assert await preview.publish(*(kit.made(job_id, count) for count in range(1, 41))) == (40, 0)
    viewer = preview.view(job_id)
    await eventually(lambda: len(viewer.seen) == 40)
    await preview.publish(kit.made(job_id, 41))
    await eventually(lambda: len(viewer.seen) == 41)
    assert viewer.counts == [(1, count) for count in range(1, 42)]


async def test_who_comes_back_continues_after_the_last_number(
    preview: Any, kit: SimpleNamespace, job_id: str
) -> None:
    await preview.publish(*(kit.made(job_id, count) for count in range(1, 11)))
    viewer = preview.view(job_id, after=2**20 + 7)
    await eventually(lambda: len(viewer.seen) == 3)
    assert viewer.counts == [(1, 8), (1, 9), (1, 10)]
    ahead = preview.view(job_id, after=2**20 + 11)
    await preview.publish(kit.made(job_id, 11), kit.made(job_id, 12))
    await eventually(lambda: ahead.seen)
    assert ahead.counts == [(1, 12)]


async def test_only_so_many_frames_are_kept(embedded: EmbeddedParts, kit: SimpleNamespace, job_id: str) -> None:
    async with kit.running(embedded.redis_url, kept_frames=8) as preview:
        assert await preview.publish(*(kit.made(job_id, count) for count in range(1, 101))) == (100, 0)
        viewer = preview.view(job_id)
        await eventually(lambda: len(viewer.seen) == 8)
        assert viewer.counts == [(1, count) for count in range(93, 101)]


async def test_what_an_older_attempt_still_sends_is_dropped(
    preview: Any, kit: SimpleNamespace, job_id: str
) -> None:
    stale = await metric(preview, 'edgecore_preview_dropped_total{reason="stale"}')
    assert await preview.publish(*(kit.made(job_id, count, attempt=1) for count in (1, 2))) == (2, 0)
    assert await preview.publish(kit.made(job_id, 1, attempt=2)) == (1, 0)
    assert await preview.publish(*(kit.made(job_id, count, attempt=1) for count in (3, 4, 5))) == (0, 3)
    assert await preview.publish(kit.made(job_id, 1, attempt=2)) == (0, 1)  # a repeat
    assert (await preview.snapshot(job_id)).attempt == 2
    assert await metric(preview, 'edgecore_preview_dropped_total{reason="stale"}') == stale + 4


async def test_an_older_attempt_at_another_replica_is_dropped_too(
    embedded: EmbeddedParts, preview: Any, kit: SimpleNamespace, job_id: str
) -> None:
    newest = kit.made(job_id, 1, attempt=2)
    assert await preview.publish(newest) == (1, 0)
    async with kit.running(embedded.redis_url) as other:
        assert await other.publish(kit.made(job_id, 9, attempt=1)) == (0, 1)
        viewer = other.view(job_id)  # and viewers of one replica see what the other was sent
        await eventually(lambda: viewer.seen)
        assert [one.frame for one in viewer.seen] == [newest]


async def test_garbage_is_dropped_and_the_stream_goes_on(preview: Any, kit: SimpleNamespace, job_id: str) -> None:
    garbage = [
        pb.Frame(),
        kit.made("../../etc", 1),
        kit.made(job_id, 1, number=7),
        kit.made(job_id, 1, data=b"not a picture"),
        kit.made(job_id, 1, width=4000),
        kit.made(job_id, 1, size=300_000),
    ]
    good = [kit.made(job_id, count) for count in (1, 2)]
    assert await preview.publish(good[0], *garbage, good[1]) == (2, 6)
    viewer = preview.view(job_id)
    await eventually(lambda: len(viewer.seen) == 2)
    assert [one.frame for one in viewer.seen] == good


async def test_fifty_viewers_see_the_same_through_one_reader(
    preview: Any, kit: SimpleNamespace, job_id: str
) -> None:
    viewers = [preview.view(job_id) for _ in range(50)]
    for count in range(1, 11):
        await preview.publish(kit.made(job_id, count, size=20_000))
        await eventually(lambda count=count: all(one.seen and one.counts[-1] == (1, count) for one in viewers))
    assert await metric(preview, "edgecore_preview_viewers") == 50
    assert [len(one.seen) + one.skipped for one in viewers] == [10] * 50
    for viewer in viewers:
        await viewer.leave()
    await eventually(lambda: no_viewers(preview))


async def no_viewers(preview: Any) -> bool:
    return await metric(preview, "edgecore_preview_viewers") == 0


async def test_a_slow_viewer_gets_the_latest_and_holds_nobody_up(
    preview: Any, kit: SimpleNamespace, job_id: str
) -> None:
    slow, fast = preview.view(job_id), preview.view(job_id)
    await watched(preview, slow, kit.made(job_id, 1))
    await eventually(lambda: fast.seen)
    slow.reading.clear()
    # A gRPC call holds some frames back on its way; these are more than that.
    for count in range(2, 102):
        await preview.publish(kit.made(job_id, count, size=200_000))
        await eventually(lambda count=count: fast.counts[-1] == (1, count))
    assert len(fast.seen) + fast.skipped == 101
    slow.reading.set()
    await eventually(lambda: slow.counts[-1] == (1, 101))
    assert slow.skipped > 0
    assert len(slow.seen) + slow.skipped == 101
    assert slow.counts == sorted(slow.counts)


async def test_a_job_that_nobody_knows_is_waited_for(preview: Any, kit: SimpleNamespace, job_id: str) -> None:
    assert await preview.snapshot(job_id) is None
    viewer = preview.view(job_id)
    await preview.publish(kit.made(job_id, 1))
    await eventually(lambda: viewer.counts == [(1, 1)])


async def test_an_unusable_job_id(preview: Any) -> None:
    assert await preview.view("a job").code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError, match="job_id: must be"):
        await preview.snapshot("")


@pytest.mark.parametrize("limit", ["viewers_most", "jobs_most"])
async def test_one_viewer_or_job_too_many(
    embedded: EmbeddedParts, kit: SimpleNamespace, job_id: str, limit: str
) -> None:
    second = job_id if limit == "viewers_most" else f"{job_id}-2"
    async with kit.running(embedded.redis_url, **{limit: 1}) as preview:
        first = preview.view(job_id)
        await watched(preview, first, kit.made(job_id, 1))
        assert await preview.view(second).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await first.leave()
        await eventually(lambda: no_viewers(preview))
        await watched(preview, preview.view(second), kit.made(second, 2))


async def test_health_reflection_and_metrics(preview: Any, kit: SimpleNamespace, job_id: str) -> None:
    viewer = preview.view(job_id)
    await watched(preview, viewer, kit.made(job_id, 1))
    async with httpx.AsyncClient(base_url=preview.url) as client:
        for path in ("/health", "/health/live", "/health/ready"):
            assert (await client.get(path)).json() == {"status": "ok", "failures": {}}
        metrics = (await client.get("/metrics")).text
    for reason in ("invalid", "stale", "slow", "away"):
        assert f'edgecore_preview_dropped_total{{reason="{reason}"}}' in metrics
    assert "edgecore_preview_published_total" in metrics
    assert "edgecore_preview_seconds_bucket" in metrics

    def services() -> list[str]:
        with grpc.insecure_channel(f"127.0.0.1:{kit.grpc_port(preview.service)}") as channel:
            return list(ProtoReflectionDescriptorDatabase(channel).get_services())

    assert "edgecore.preview.v1.PreviewService" in await asyncio.to_thread(services)
