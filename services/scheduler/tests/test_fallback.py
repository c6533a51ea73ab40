"""From our own nodes to paid providers and back, as nodes and the log see it."""

from collections.abc import AsyncIterator

import pytest

from edgecore.common.v1 import common_pb2
from edgecore.jobs.v1.events_pb2 import AttemptFinished, JobStateChanged
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.testing import eventually

from .conftest import Node, Scheduler, running

# Nobody here sends heartbeats, so leases are long.
CHAIN = {"fallback_backends": "runway,veo", "breaker_pause": 0.4, "attempt_limit": 6, "lease_ttl": 60.0}
SLOW_RETRIES = {"retry_pause": 60.0}
QUOTES = {"runway": 50_000, "veo": 80_000}


@pytest.fixture
async def house(database_url: str, embedded: EmbeddedParts) -> AsyncIterator[Scheduler]:
    """Jobs wait as good as for ever for a node of ours."""
    async with running(database_url, embedded, **CHAIN, fallback_wait=600.0) as started:
        yield started


@pytest.fixture
async def hasty(database_url: str, embedded: EmbeddedParts) -> AsyncIterator[Scheduler]:
    """Jobs without a node of ours go to a provider at once."""
    async with running(database_url, embedded, **CHAIN, fallback_wait=0.0) as started:
        yield started


async def work(node: Node, outcome: str = "SUCCEEDED", reason: str = "COMPLETED") -> pb.Assign:
    """Take the next job and report."""
    assign: pb.Assign = await node.receive("assign")
    node.finish(assign.lease, outcome, reason)
    await node.receive("accepted")
    return assign


async def fail(node: Node, reason: str = "PROVIDER_ERROR") -> pb.Assign:
    return await work(node, "FAILED", reason)


async def gets_nothing(node: Node, seconds: float = 1.2) -> None:
    """Two rounds of the fallbacks' timer pass without a job."""
    with pytest.raises(TimeoutError):
        await node.receive("assign", seconds)


async def is_explained(scheduler: Scheduler, job_id: str, *decision: str) -> bool:
    return decision in await scheduler.explain(job_id)


async def waits_for(scheduler: Scheduler, job_id: str, *decision: str) -> None:
    async def stated() -> bool:
        return await scheduler.state(job_id) == "QUEUED" and await is_explained(scheduler, job_id, *decision)

    await eventually(stated)


async def test_a_job_that_failed_twice_here_goes_to_a_provider(house: Scheduler) -> None:
    own, runway = house.node(), await house.provider()
    await own.register()
    job_id = await house.generate(quotes=QUOTES)
    await fail(own, "OUT_OF_MEMORY")
    await fail(own, "OUT_OF_MEMORY")
    assign = await work(runway)
    assert (assign.job_id, assign.attempt) == (job_id, 3)
    assert await house.state(job_id) == "DELIVERED"
    assert await house.explain(job_id) == [
        ("aiprod", "CHOSEN", "first_choice"),
        ("aiprod", "CHOSEN", "first_choice"),
        ("aiprod", "FILTERED", "attempts_used"),
        ("veo", "SKIPPED", "no_node"),
        ("runway", "CHOSEN", "fallback"),
    ]
    events = await house.events(job_id)
    ended = [event for event in events if isinstance(event, AttemptFinished)]
    assert [one.backend for one in ended] == ["aiprod", "aiprod", "runway"]
    back = [event for event in events if isinstance(event, JobStateChanged) and event.attempt == 2]
    assert (back[-1].to, back[-1].reason) == (common_pb2.JOB_STATE_QUEUED, common_pb2.REASON_OUT_OF_MEMORY)
    assert back[-1].backend == "aiprod", "the event tells of the attempt that failed"


async def test_failures_survive_a_restart(database_url: str, embedded: EmbeddedParts) -> None:
    # The pause outlives the first scheduler.
    async with running(database_url, embedded, **CHAIN, retry_pause=4.0) as before:
        own = before.node()
        await own.register()
        job_id = await before.generate(quotes=QUOTES)
        await fail(own, "ENGINE_FAILED")
    async with running(database_url, embedded, **CHAIN) as after:
        own, runway = after.node(), await after.provider()
        await own.register()
        await fail(own, "ENGINE_FAILED")
        assert (await work(runway)).job_id == job_id


async def test_without_a_node_of_ours_a_provider_is_next(hasty: Scheduler) -> None:
    veo = await hasty.provider("veo")
    job_id = await hasty.generate(quotes=QUOTES)
    assert (await work(veo)).job_id == job_id
    assert ("runway", "SKIPPED", "no_node") in await hasty.explain(job_id)


async def test_a_node_of_ours_that_comes_back_gets_the_job(hasty: Scheduler) -> None:
    runway = await hasty.provider()
    await hasty.generate(quotes=QUOTES)
    running_there = await runway.receive("assign")
    job_id = await hasty.generate(quotes=QUOTES)
    await waits_for(hasty, job_id, "runway", "SKIPPED", "nodes_busy")
    own = hasty.node()
    await own.register()
    assert (await work(own)).job_id == job_id
    runway.finish(running_there.lease, "SUCCEEDED", "COMPLETED")
    await runway.receive("accepted")


async def test_busy_nodes_of_ours_are_waited_for(hasty: Scheduler) -> None:
    own, runway = hasty.node(), await hasty.provider()
    await own.register()
    await hasty.generate(quotes=QUOTES)
    first = await own.receive("assign")
    job_id = await hasty.generate(quotes=QUOTES)
    await waits_for(hasty, job_id, "aiprod", "SKIPPED", "nodes_busy")
    await gets_nothing(runway)
    assert len(await hasty.explain(job_id)) == 1, "a look without news is no row"
    own.finish(first.lease, "SUCCEEDED", "COMPLETED")
    assert (await own.receive("assign")).job_id == job_id


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"quotes": QUOTES, "fallback": False}, "not_allowed"),
        ({"quotes": {"veo": 80_000}}, "no_quote"),
        ({"quotes": QUOTES, "max_cost": 49_999}, "over_max_cost"),
    ],
)
async def test_no_provider_without_leave(hasty: Scheduler, terms: dict[str, object], code: str) -> None:
    runway = await hasty.provider()
    job_id = await hasty.generate(**terms)
    await waits_for(hasty, job_id, "runway", "FILTERED", code)
    await gets_nothing(runway)
    own = hasty.node()
    await own.register()
    for _ in range(6):
        await fail(own, "ENGINE_FAILED")
    assert await hasty.state(job_id) == "ERROR"


async def test_an_unclear_submit_ends_the_job(hasty: Scheduler) -> None:
    runway, veo = await hasty.provider(), await hasty.provider("veo")
    job_id = await hasty.generate(quotes=QUOTES)
    await fail(runway, "PROVIDER_UNCLEAR")
    assert await hasty.history(job_id) == ["QUEUED", "ALLOCATED", "ERROR"]
    await gets_nothing(veo)


async def test_a_job_waits_for_the_node_that_may_have_placed_its_order(hasty: Scheduler) -> None:
    runway, veo = await hasty.provider(), await hasty.provider("veo")
    job_id = await hasty.generate(quotes=QUOTES)
    await runway.receive("assign")
    other = hasty.node("runway-1")
    await other.register(backend="runway", pool="runway", models=[])
    runway.close()
    again = await hasty.provider()
    assign = await work(again)
    assert (assign.job_id, assign.attempt) == (job_id, 2)
    assert await hasty.state(job_id) == "DELIVERED"
    for nobody in (other, veo):
        await gets_nothing(nobody, seconds=0.1)


async def test_an_order_that_nobody_can_tell_of_ends_the_job(database_url: str, embedded: EmbeddedParts) -> None:
    changes = CHAIN | {"fallback_wait": 0.0, "lease_ttl": 1.0, "verdict_wait": 2.0}
    async with running(database_url, embedded, **changes) as scheduler:
        runway, veo = await scheduler.provider(), await scheduler.provider("veo")
        job_id = await scheduler.generate(quotes=QUOTES)
        await runway.receive("assign")
        runway.close()
        await eventually(lambda: is_explained(scheduler, job_id, "runway", "SKIPPED", "no_node"))

        async def ended() -> bool:
            return await scheduler.state(job_id) == "ERROR"

        await eventually(ended)
        last = [one for one in await scheduler.events(job_id) if isinstance(one, JobStateChanged)][-1]
        assert last.reason == common_pb2.REASON_PROVIDER_UNCLEAR
        await gets_nothing(veo, seconds=0.1)


async def test_a_slow_provider_is_left_for_the_next(hasty: Scheduler) -> None:
    runway, veo = await hasty.provider(), await hasty.provider("veo")
    job_id = await hasty.generate(quotes=QUOTES)
    for _ in range(2):
        await fail(runway, "TIMEOUT")
    assert (await work(veo)).job_id == job_id


async def test_a_provider_that_fails_too_often_rests_and_recovers(hasty: Scheduler) -> None:
    runway = await hasty.provider()
    only = {"runway": 50_000}
    for outcome in ("SUCCEEDED", "FAILED", "SUCCEEDED", "FAILED"):
        await hasty.generate(quotes=only)
        await work(runway, outcome, "COMPLETED" if outcome == "SUCCEEDED" else "PROVIDER_ERROR")
        if outcome == "FAILED":
            await work(runway)
    assert await hasty.providers() == {"runway": "CLOSED", "veo": "CLOSED"}
    for _ in range(3):
        await hasty.generate(quotes=only)
    for _ in range(3):
        await fail(runway)
    assert (await hasty.providers())["runway"] != "CLOSED"
    answer = await hasty.stub.ListProviders(pb.ListProvidersRequest())
    assert answer.providers[0].recent_failures >= 3
    await work(runway)
    assert await hasty.providers() == {"runway": "CLOSED", "veo": "CLOSED"}


async def all_fail(scheduler: Scheduler, runway: Node) -> list[str]:
    """Three jobs that fail together, so that the breaker is open before one of them comes again."""
    jobs = [await scheduler.generate(quotes=QUOTES) for _ in range(3)]
    assigns = [await runway.receive("assign") for _ in jobs]
    for assign in assigns:
        runway.finish(assign.lease, "FAILED", "PROVIDER_ERROR")
    for _ in jobs:
        await runway.receive("accepted")
    await scheduler.end_pauses()
    return jobs


async def test_half_open_lets_one_job_through(database_url: str, embedded: EmbeddedParts) -> None:
    async with running(database_url, embedded, **CHAIN | SLOW_RETRIES, fallback_wait=0.0) as scheduler:
        runway = await scheduler.provider(capacity=3)
        jobs = await all_fail(scheduler, runway)
        trial = await runway.receive("assign")
        assert (await scheduler.providers())["runway"] == "HALF_OPEN"
        await gets_nothing(runway)
        waits = [job_id for job_id in jobs if job_id != trial.job_id]
        for job_id in waits:
            assert ("runway", "SKIPPED", "breaker_open") in await scheduler.explain(job_id)
        runway.finish(trial.lease, "SUCCEEDED", "COMPLETED")
        others = [await runway.receive("assign") for _ in waits]
        assert {one.job_id for one in others} == set(waits)
        assert (await scheduler.providers())["runway"] == "CLOSED"


async def test_an_open_breaker_sends_jobs_to_the_next_provider(database_url: str, embedded: EmbeddedParts) -> None:
    changes = CHAIN | SLOW_RETRIES | {"breaker_pause": 600.0, "fallback_wait": 0.0}
    async with running(database_url, embedded, **changes) as scheduler:
        runway, veo = await scheduler.provider(capacity=3), await scheduler.provider("veo", capacity=3)
        jobs = await all_fail(scheduler, runway)
        assert {(await work(veo)).job_id for _ in jobs} == set(jobs)
        (open_, _) = (await scheduler.stub.ListProviders(pb.ListProvidersRequest())).providers
        assert open_.breaker == pb.BREAKER_STATE_OPEN
        assert open_.HasField("retry_at")


async def test_a_provider_that_left_the_settings_gives_its_jobs_back(
    database_url: str, embedded: EmbeddedParts
) -> None:
    async with running(database_url, embedded, **CHAIN, fallback_wait=0.0) as before:
        runway = await before.provider()
        await before.generate(quotes=QUOTES)
        await runway.receive("assign")
        job_id = await before.generate(quotes=QUOTES)
        await waits_for(before, job_id, "runway", "SKIPPED", "nodes_busy")
    async with running(database_url, embedded) as after:
        own = after.node()
        await own.register()
        assert (await work(own)).job_id == job_id
