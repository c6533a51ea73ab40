"""Jobs whose money is not set aside: a few may start, cost decides on the rest."""

from collections.abc import AsyncIterator

import pytest

from edgecore.common.v1 import common_pb2
from edgecore.jobs.v1.events_pb2 import JobStateChanged
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.testing import eventually

from .conftest import Scheduler, running


@pytest.fixture
async def scheduler(database_url: str, embedded: EmbeddedParts) -> AsyncIterator[Scheduler]:
    changes = {"unsecured_jobs": 2, "fallback_backends": "runway", "fallback_wait": 0.0, "lease_ttl": 60.0}
    async with running(database_url, embedded, **changes) as started:
        yield started


async def accepted(scheduler: Scheduler, count: int, **others: object) -> list[str]:
    """Jobs in the queue, in this order."""
    jobs = []
    for _ in range(count):
        job_id = await scheduler.generate(reservation="PENDING", **others)
        await eventually(lambda job_id=job_id: scheduler.state(job_id))
        jobs.append(job_id)
    return jobs


async def reaches(scheduler: Scheduler, job_id: str, state: str) -> None:
    async def reached() -> bool:
        return await scheduler.state(job_id) == state

    await eventually(reached)


async def test_a_user_starts_a_few_and_the_rest_when_cost_is_back(scheduler: Scheduler) -> None:
    jobs = await accepted(scheduler, 4)
    other = await scheduler.generate(reservation="PENDING", user_id="user_b")
    secured = await scheduler.generate(reservation="SECURED")
    old = await scheduler.generate()
    node = scheduler.node()
    await node.register(capacity=8)
    started = [(await node.receive("assign")) for _ in range(5)]
    assert {one.job_id for one in started} == {*jobs[:2], other, secured, old}
    assert await scheduler.explain(jobs[2]) == [("aiprod", "SKIPPED", "unsecured")]

    # What ran without money set aside is owed until cost has decided, so nothing is freed by its end.
    node.finish(started[0].lease, "SUCCEEDED", "COMPLETED")
    await node.receive("accepted")
    assert [await scheduler.state(job_id) for job_id in jobs[2:]] == ["QUEUED", "QUEUED"]

    await scheduler.decided(jobs[0], "SECURED", aiprod=60)
    assert (await node.receive("assign")).job_id == jobs[2]
    await scheduler.decided(jobs[3], "SECURED", aiprod=60)
    assert (await node.receive("assign")).job_id == jobs[3]


async def test_a_declined_job_that_waits_ends(scheduler: Scheduler) -> None:
    jobs = await accepted(scheduler, 3)
    await scheduler.decided(jobs[0], "DECLINED")
    await reaches(scheduler, jobs[0], "ERROR")
    (last,) = [one for one in await scheduler.events(jobs[0]) if one.to == common_pb2.JOB_STATE_ERROR]
    assert last.reason == common_pb2.REASON_BUDGET_EXHAUSTED
    node = scheduler.node()
    await node.register(capacity=8)
    assert [(await node.receive("assign")).job_id for _ in range(2)] == jobs[1:]


async def test_a_declined_job_that_runs_finishes_but_is_not_tried_again(scheduler: Scheduler) -> None:
    node = scheduler.node()
    await node.register(capacity=2)
    jobs = await accepted(scheduler, 3)
    first, second = [await node.receive("assign") for _ in range(2)]
    for job_id in jobs[:2]:
        await scheduler.decided(job_id, "DECLINED")
    # Two more have a place only once both decisions had their effect.
    more = await accepted(scheduler, 1)
    node.finish(first.lease, "SUCCEEDED", "COMPLETED")
    assert (await node.receive("assign")).job_id == jobs[2]
    node.finish(second.lease, "FAILED", "ENGINE_FAILED")
    assert (await node.receive("assign")).job_id == more[0]
    await reaches(scheduler, first.job_id, "DELIVERED")
    await reaches(scheduler, second.job_id, "ERROR")
    last = [one for one in await scheduler.events(second.job_id) if isinstance(one, JobStateChanged)][-1]
    assert last.reason == common_pb2.REASON_BUDGET_EXHAUSTED


async def test_a_declined_job_is_not_begun(scheduler: Scheduler) -> None:
    job_id = await scheduler.generate(reservation="DECLINED")
    await reaches(scheduler, job_id, "ERROR")
    assert await scheduler.history(job_id) == ["ERROR"]


async def test_a_decision_may_come_before_its_job_and_come_twice(scheduler: Scheduler) -> None:
    jobs = await accepted(scheduler, 2)
    await scheduler.decided("job_early", "SECURED", runway=50_000)
    for _ in range(2):
        await scheduler.decided(jobs[0], "SECURED")
        await scheduler.decided(jobs[0], "DECLINED")
    (third,) = await accepted(scheduler, 1)
    await scheduler.generate(reservation="PENDING", job_id="job_early", fallback=True)
    runway = await scheduler.provider()
    assert (await runway.receive("assign")).job_id == "job_early"
    node = scheduler.node()
    await node.register(capacity=8)
    assert [(await node.receive("assign")).job_id for _ in range(3)] == [*jobs, third]


async def test_a_cancelled_job_frees_its_place(scheduler: Scheduler) -> None:
    jobs = await accepted(scheduler, 3)
    await scheduler.cancel(jobs[0])
    await reaches(scheduler, jobs[0], "CANCELLED")
    node = scheduler.node()
    await node.register(capacity=8)
    assert [(await node.receive("assign")).job_id for _ in range(2)] == jobs[1:]


async def test_no_paid_provider_without_money_set_aside(scheduler: Scheduler) -> None:
    runway = await scheduler.provider()
    (job_id,) = await accepted(scheduler, 1, quotes={"runway": 50_000})
    assert ("runway", "SKIPPED", "unsecured") in await scheduler.explain(job_id)
    await scheduler.decided(job_id, "SECURED", runway=50_000)
    assert (await runway.receive("assign")).job_id == job_id
