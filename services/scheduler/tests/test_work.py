"""The scheduler as nodes and the log see it: every path a job can take."""

import grpc
import pytest

from edgecore.common.v1 import common_pb2
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.testing import eventually

from .conftest import Scheduler, running

HAPPY = ["QUEUED", "ALLOCATED", "GENERATING", "FINALIZING", "DELIVERED"]


async def test_a_job_goes_its_way(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    job_id = await scheduler.generate()
    assign = await node.receive("assign")
    assert (assign.job_id, assign.attempt, assign.lease.token) == (job_id, 1, 1)
    assert assign.spec.prompt == "a red circle"
    node.progress(assign.lease, pb.STAGE_SAMPLING, 3)

    async def sampling() -> bool:
        progress = await scheduler.stub.GetProgress(pb.GetProgressRequest(job_id=job_id))
        return (progress.stage, progress.step, progress.steps) == (pb.STAGE_SAMPLING, 3, 20)

    await eventually(sampling)
    node.progress(assign.lease, pb.STAGE_ENCODING)
    node.finish(assign.lease, "SUCCEEDED", "COMPLETED")
    await node.receive("accepted")
    assert await scheduler.history(job_id) == HAPPY


async def test_lost_progress_leaves_no_gap_in_the_history(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    job_id = await scheduler.generate()
    assign = await node.receive("assign")
    node.finish(assign.lease, "SUCCEEDED", "COMPLETED")
    await node.receive("accepted")
    assert await scheduler.history(job_id) == HAPPY


async def test_a_repeated_command_and_a_repeated_report_change_nothing(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    job_id = await scheduler.generate(times=3)
    assign = await node.receive("assign")
    for _ in range(3):
        node.finish(assign.lease, "SUCCEEDED", "COMPLETED")
        await node.receive("accepted")
    assert await scheduler.history(job_id) == HAPPY


async def test_jobs_are_served_in_order_of_arrival(scheduler: Scheduler) -> None:
    jobs = []
    for _ in range(3):
        job_id = await scheduler.generate()
        await eventually(lambda job_id=job_id: scheduler.state(job_id))
        jobs.append(job_id)
    last = await scheduler.stub.GetProgress(pb.GetProgressRequest(job_id=jobs[2]))
    assert last.queue_position == 3
    node = scheduler.node()
    await node.register()
    for job_id in jobs:
        assign = await node.receive("assign")
        assert assign.job_id == job_id
        node.finish(assign.lease, "SUCCEEDED", "COMPLETED")
        await node.receive("accepted")


async def test_a_silent_nodes_job_goes_to_another_and_its_late_report_is_refused(
    scheduler: Scheduler,
) -> None:
    silent, other = scheduler.node("silent"), scheduler.node("other")
    await silent.register()
    job_id = await scheduler.generate()
    stale = await silent.receive("assign")
    await other.register()
    await scheduler.expire_leases()
    fresh = await other.receive("assign")
    assert (fresh.job_id, fresh.attempt) == (job_id, 2)
    woken = scheduler.node("silent")
    await woken.register(leases=[stale.lease])
    await woken.receive("revoked")
    woken.finish(stale.lease, "SUCCEEDED", "COMPLETED")
    await woken.receive("revoked")
    other.finish(fresh.lease, "SUCCEEDED", "COMPLETED")
    await other.receive("accepted")
    assert await scheduler.history(job_id) == ["QUEUED", "ALLOCATED", "QUEUED", *HAPPY[1:]]


async def test_a_restarted_nodes_job_is_given_out_at_once(database_url: str, embedded: EmbeddedParts) -> None:
    async with running(database_url, embedded, lease_ttl=600.0) as scheduler:
        first = scheduler.node()
        await first.register()
        job_id = await scheduler.generate()
        await first.receive("assign")
        first.close()
        again = scheduler.node()
        await again.register(leases=[])
        assert (await again.receive("assign")).attempt == 2
        assert (await scheduler.history(job_id))[-2:] == ["QUEUED", "ALLOCATED"]


async def test_a_node_that_only_lost_its_stream_keeps_its_job(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    job_id = await scheduler.generate()
    assign = await node.receive("assign")
    node.close()
    again = scheduler.node()
    await again.register(leases=[assign.lease])
    again.finish(assign.lease, "SUCCEEDED", "COMPLETED")
    await again.receive("accepted")
    assert await scheduler.history(job_id) == HAPPY


async def test_heartbeats_keep_a_lease_and_a_stale_one_is_revoked(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    await scheduler.generate()
    assign = await node.receive("assign")
    stranger = pb.LeaseRef(lease_id=assign.lease.lease_id, token=assign.lease.token + 1)
    node.send(heartbeat=pb.Heartbeat(leases=[stranger]))
    assert (await node.receive("revoked")).lease == stranger
    node.finish(assign.lease, "SUCCEEDED", "COMPLETED")
    await node.receive("accepted")


async def test_cancel_while_waiting(scheduler: Scheduler) -> None:
    job_id = await scheduler.generate()
    await scheduler.cancel(job_id)

    async def cancelled() -> bool:
        return await scheduler.history(job_id) == ["QUEUED", "CANCELLED"]

    await eventually(cancelled)


async def test_cancel_while_running(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    job_id = await scheduler.generate()
    assign = await node.receive("assign")
    await scheduler.cancel(job_id)
    assert (await node.receive("cancel")).lease == assign.lease
    node.finish(assign.lease, "CANCELLED", "CANCELLED_BY_USER")
    await node.receive("accepted")
    assert await scheduler.history(job_id) == ["QUEUED", "ALLOCATED", "CANCELLED"]


async def test_cancel_of_a_node_that_vanished(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    job_id = await scheduler.generate()
    await node.receive("assign")
    node.close()
    await scheduler.cancel(job_id)
    await eventually(lambda: scheduler.is_to_be_cancelled(job_id))
    await scheduler.expire_leases()

    async def cancelled() -> bool:
        return await scheduler.state(job_id) == "CANCELLED"

    await eventually(cancelled)


@pytest.mark.parametrize(("reason", "attempts"), [("OUT_OF_MEMORY", 2), ("ENGINE_FAILED", 2), ("INVALID_SPEC", 1)])
async def test_failures_are_tried_again_up_to_the_limit(
    database_url: str, embedded: EmbeddedParts, reason: str, attempts: int
) -> None:
    async with running(database_url, embedded, attempt_limit=2) as scheduler:
        node = scheduler.node()
        await node.register()
        job_id = await scheduler.generate()
        for _ in range(attempts):
            assign = await node.receive("assign")
            node.finish(assign.lease, "FAILED", reason)
            await node.receive("accepted")
        assert (await scheduler.history(job_id))[-1] == "ERROR"
        assert assign.attempt == attempts


async def test_a_drained_node_gets_nothing_until_it_may_again(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    answer = await scheduler.stub.DrainNode(pb.DrainNodeRequest(node_id="node-1", drain=True))
    assert answer.node.draining
    await node.receive("drain")
    job_id = await scheduler.generate()
    await eventually(lambda: scheduler.state(job_id))
    nodes = (await scheduler.stub.ListNodes(pb.ListNodesRequest())).nodes
    assert [(one.node_id, one.connected, one.running) for one in nodes] == [("node-1", True, 0)]
    await scheduler.stub.DrainNode(pb.DrainNodeRequest(node_id="node-1", drain=False))
    assert (await node.receive("assign")).job_id == job_id


async def test_an_unknown_model_ends_at_once(scheduler: Scheduler) -> None:
    job_id = await scheduler.generate(model="nothing-like-it")

    async def ended() -> bool:
        return await scheduler.history(job_id) == ["ERROR"]

    await eventually(ended)


async def test_a_stream_that_does_not_register_is_refused(scheduler: Scheduler) -> None:
    node = scheduler.node()
    node.send(heartbeat=pb.Heartbeat())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await node.receive("welcome")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await scheduler.stub.GetProgress(pb.GetProgressRequest(job_id="job_none"))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_success_without_an_artifact_is_no_success(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register()
    job_id = await scheduler.generate()
    assign = await node.receive("assign")
    node.send(
        finished=pb.Finished(
            lease=assign.lease, outcome="ATTEMPT_OUTCOME_SUCCEEDED", reason=common_pb2.REASON_COMPLETED
        )
    )
    await node.receive("accepted")
    assert "DELIVERED" not in await scheduler.history(job_id)
