"""The cost service from outside: gRPC, Kafka, restarts."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from sqlalchemy import text, update

from edgecore.cost.v1 import cost_pb2 as pb
from edgecore.cost.v1 import events_pb2 as events
from edgecore.jobs.v1.commands_pb2 import BackendQuote, ReservationState
from edgecore.scheduler.v1.events_pb2 import NODE_STATE_READY, NodeStateChanged
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.money import usd
from edgecore_contracts.topics import JOB_COMMANDS, JOB_EVENTS
from edgecore_cost.adapters import tables
from edgecore_cost.entrypoints.orphans import Orphans
from edgecore_runtime import dlq
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.ids import new_id
from edgecore_runtime.testing import eventually, schema_drift

SECURED = ReservationState.RESERVATION_STATE_SECURED
DECLINED = ReservationState.RESERVATION_STATE_DECLINED


def ids() -> tuple[str, str]:
    return new_id("job"), new_id("user")


async def test_a_job_is_reserved_billed_and_settled(house: Any, kit: SimpleNamespace) -> None:
    job, user = ids()
    made = await house.reserve(job, user)
    assert made.state == SECURED
    assert 0 < made.estimate.micros < made.amount.micros
    assert [one.backend for one in made.quotes] == ["aiprod"]
    assert await house.usage(user) == (0, made.amount.micros)
    await house.tell(kit.command(job, user), kit.attempt(job, user, 1, "FAILED"))
    await house.tell(kit.attempt(job, user, 2), kit.ended(job, user))
    # 2 s of cpu at 11 micros; 2 GB for a month at 23000. The failed attempt is not billed, nor is loading.
    expected = [(1, "STORAGE", 46000), (2, "COMPUTE", 22)]
    await eventually(lambda: _equal(house.lines(job), expected))

    async def settled() -> bool:
        row = await house.reservation(job)
        return bool(row.closed == "settled")

    await eventually(settled)
    assert await house.usage(user) == (46022, 0)

    async def told() -> Any:
        found = [one.message for one in await house.emitted(job)]
        return found if len(found) == 2 else None

    posted = {(one.attempt, one.kind): one for one in await eventually(told)}
    compute = posted[2, events.COST_KIND_COMPUTE]
    assert (compute.user_id, compute.amount, compute.quantity) == (user, usd(22), 2.0)
    assert compute.price_id == "price_cpu_2026"


async def _equal(found: Any, expected: Any) -> bool:
    return bool(await found == expected)


async def test_the_same_job_again_gives_the_same_answer(house: Any) -> None:
    job, user = ids()
    first = await house.reserve(job, user)
    again = await asyncio.gather(*(house.reserve(job, user) for _ in range(5)))
    assert all(one == first for one in again)
    assert await house.usage(user) == (0, first.amount.micros)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await house.reserve(job, "user_other")
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_concurrent_reservations_never_exceed_the_budget(house: Any) -> None:
    _, user = ids()
    one = (await house.reserve(new_id("job"), new_id("user"))).amount.micros
    await house.budget(user, 5 * one + one // 2)
    answers = await asyncio.gather(*(house.reserve(new_id("job"), user) for _ in range(40)))
    secured = [answer for answer in answers if answer.state == SECURED]
    assert len(secured) == 5
    assert await house.usage(user) == (0, 5 * one)
    declined = next(answer for answer in answers if answer.state == DECLINED)
    assert "budget has" in declined.detail
    (exhausted,) = await eventually(lambda: house.emitted(user))
    assert exhausted.type.endswith("BudgetExhausted")
    assert exhausted.message.budget == usd(5 * one + one // 2)


async def test_providers_are_covered_within_the_limits(house: Any) -> None:
    quotes = (await house.reserve(*ids(), fallback=True)).quotes
    assert {one.backend: one.upper_bound.micros for one in quotes} == {
        "aiprod": quotes[0].upper_bound.micros,
        "runway": 360_000,  # 17 frames at 8 a second are 2.1 s: 3 s of gen4.5 at 0.12
        "veo": 1_600_000,  # 4 s at 0.40
        "replicate": 240_000,  # 6 s at 0.04
    }
    dear = await house.reserve(*ids(), fallback=True, max_cost=usd(300_000))
    assert [one.backend for one in dear.quotes] == ["aiprod", "replicate"]
    assert dear.amount == usd(240_000)
    tight = await house.reserve(*ids(), fallback=True, max_cost=usd(1))
    assert tight.state == DECLINED
    assert "more than max_cost 0.000001" in tight.detail
    job, user = ids()
    await house.budget(user, 400_000)
    assert [one.backend for one in (await house.reserve(job, user, fallback=True)).quotes] == [
        "aiprod",
        "runway",
        "replicate",
    ]


async def test_no_provider_is_covered_for_what_it_cannot_follow(house: Any, kit: SimpleNamespace) -> None:
    pictured = await house.reserve(*ids(), fallback=True, spec=kit.spec(image="inputs/i"))
    assert [one.backend for one in pictured.quotes] == ["aiprod"]
    larger = await house.reserve(*ids(), spec=kit.spec(upscale=True))
    assert larger.amount.micros > pictured.amount.micros


async def test_a_pending_job_is_decided(house: Any, kit: SimpleNamespace) -> None:
    (job, user), (poor_job, poor) = ids(), ids()
    await house.budget(poor, 0)
    await house.tell(kit.command(job, user, "PENDING"), kit.command(poor_job, poor, "PENDING"))

    async def decided(key: str) -> Any:
        return next((one.message for one in await house.emitted(key)), None)

    yes, no = await eventually(lambda: decided(job)), await eventually(lambda: decided(poor_job))
    assert (yes.state, yes.user_id, bool(yes.quotes)) == (SECURED, user, True)
    assert yes.estimate.micros > 0
    assert (no.state, no.amount.micros) == (DECLINED, 0)
    assert no.detail


async def test_a_promise_we_forgot_is_recorded(house: Any, kit: SimpleNamespace) -> None:
    job, user = ids()
    await house.budget(user, 100)
    quote = BackendQuote(backend="aiprod", upper_bound=usd(500))
    await house.tell(kit.command(job, user, quotes=[quote]))
    row = await eventually(lambda: house.reservation(job))
    assert (row.state, row.amount, row.closed) == ("SECURED", 500, None)


async def test_an_orphan_is_released_and_comes_back_with_its_job(house: Any, kit: SimpleNamespace) -> None:
    (job, user), (held_job, held_user) = ids(), ids()
    held = await house.reserve(held_job, held_user)
    await house.tell(kit.command(held_job, held_user))
    made = await house.reserve(job, user)
    orphans = next(one for one in house.service.components if getattr(one, "name", "") == "orphans")
    looker: Orphans = orphans._run.__self__

    async def command_seen() -> bool:
        async with house.database.reading() as session:
            return (await session.execute(text("SELECT count(*) FROM cost.jobs"))).scalar_one() == 1

    await eventually(command_seen)
    assert await looker.release() == 0
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    async with house.database.transaction() as session:
        await session.execute(update(tables.reservations).values(created_at=long_ago))
    assert await looker.release() == 1
    assert await house.usage(user) == (0, 0)
    assert await house.usage(held_user) == (0, held.amount.micros)
    await house.tell(kit.command(job, user))

    async def back() -> bool:
        return bool(await house.usage(user) == (0, made.amount.micros))

    await eventually(back)


async def test_a_restart_forgets_nothing(parts: Any, fresh_url: Any, kit: SimpleNamespace) -> None:
    url, (job, user) = fresh_url(), ids()
    async with kit.running(parts, url) as first:
        made = await first.reserve(job, user)
        finished = kit.enveloped(kit.attempt(job, user))
        await first.say(finished)
        await eventually(lambda: first.lines(job))
    async with kit.running(parts, url) as second:
        assert await second.reserve(job, user) == made
        await second.say(finished, times=3)
        await second.tell(kit.attempt(job, user), kit.ended(job, user, "CANCELLED"))

        async def settled() -> bool:
            return bool((await second.reservation(job)).closed)

        await eventually(settled)
        assert await second.lines(job) == [(1, "COMPUTE", 22)]
        assert await second.usage(user) == (22, 0)


async def test_a_providers_bill(house: Any, kit: SimpleNamespace) -> None:
    job, user = ids()
    measured = {"provider_seconds": 6.0, "provider_model": "veo-3.1-fast-generate-preview", "device": ""}
    await house.tell(kit.attempt(job, user, backend="veo", outcome="FAILED", **measured))
    await eventually(lambda: _equal(house.lines(job), [(1, "PROVIDER", 600_000)]))


async def test_an_attempt_without_a_price_is_parked(house: Any, kit: SimpleNamespace) -> None:
    job, user = ids()
    await house.tell(kit.attempt(job, user, backend="veo", provider_seconds=4.0, provider_model="veo-9"))

    async def letter() -> Any:
        letters = await dlq.read(house.settings.kafka_bootstrap, JOB_EVENTS)
        return next((one for one in letters if one.key == job.encode()), None)

    assert "no PROVIDER price for veo veo-9" in (await eventually(letter)).reason


async def test_a_new_price_counts_from_its_date(house: Any, kit: SimpleNamespace) -> None:
    before = await house.stub.ListPrices(pb.ListPricesRequest())
    compute = events.COST_KIND_COMPUTE
    price = pb.Price(
        kind=compute, model="cpu", unit=pb.PRICE_UNIT_COMPUTE_SECOND, amount=usd(1000), source="a test"
    )
    later = datetime.now(UTC) + timedelta(days=1)
    price.valid_from.CopyFrom(timestamp(later))
    await house.stub.PutPrice(pb.PutPriceRequest(price=price))
    assert (await house.stub.ListPrices(pb.ListPricesRequest())) == before
    everything = (await house.stub.ListPrices(pb.ListPricesRequest(all=True))).prices
    assert len(everything) == len(before.prices) + 1
    (today, soon), user = (new_id("job"), new_id("job")), new_id("user")
    await house.tell(kit.attempt(today, user), kit.attempt(soon, user, when=later + timedelta(hours=1)))
    await eventually(lambda: _equal(house.lines(soon), [(1, "COMPUTE", 2000)]))
    await eventually(lambda: _equal(house.lines(today), [(1, "COMPUTE", 22)]))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kind": events.COST_KIND_UNSPECIFIED}, "kind"),
        ({"unit": pb.PRICE_UNIT_GIGABYTE}, "COMPUTE_SECOND"),
        ({"amount": usd(-1)}, "negative"),
        ({"source": ""}, "source"),
        ({"valid_from": timestamp(datetime(2020, 1, 1, tzinfo=UTC))}, "past"),
        ({"model": "m" * 200}, "model"),
    ],
)
async def test_a_price_that_is_none(house: Any, changes: dict[str, Any], word: str) -> None:
    price = {
        "kind": events.COST_KIND_COMPUTE,
        "unit": pb.PRICE_UNIT_COMPUTE_SECOND,
        "amount": usd(1),
        "source": "a test",
    }
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await house.stub.PutPrice(pb.PutPriceRequest(price=pb.Price(**price | changes)))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert word in str(refused.value.details())


async def test_budgets(house: Any) -> None:
    _, user = ids()
    get = pb.GetBudgetRequest(user_id=user)
    assert not (await house.stub.GetBudget(get)).budget.HasField("limit")
    await house.budget(user, 7)
    assert (await house.stub.GetBudget(get)).budget.limit == usd(7)
    usage = await house.stub.GetUsage(pb.GetUsageRequest(user_id=user))
    start, end = usage.period_start.ToDatetime(UTC), usage.period_end.ToDatetime(UTC)
    assert start <= datetime.now(UTC) < end
    assert (start.day, end.day) == (1, 1)
    await house.budget(user, None)
    assert not (await house.stub.GetBudget(get)).budget.HasField("limit")


@pytest.mark.parametrize(
    "request_fields",
    [
        {"job_id": "", "user_id": "u"},
        {"job_id": "j", "user_id": ""},
        {"job_id": "j" * 41, "user_id": "u"},
        {"job_id": "j\0", "user_id": "u"},
        {"job_id": "j", "user_id": "u", "max_cost": usd(-1)},
    ],
)
async def test_a_reservation_that_cannot_be(house: Any, kit: SimpleNamespace, request_fields: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await house.stub.Reserve(pb.ReserveRequest(spec=kit.spec(), **request_fields))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("changes", [{"model": "x"}, {"fps": 0}, {"fps": float("nan")}, {"frames": 0}])
async def test_a_spec_that_nothing_can_run(house: Any, kit: SimpleNamespace, changes: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await house.stub.Estimate(pb.EstimateRequest(user_id="u", spec=kit.spec(**changes)))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_estimate_knows_queue_nodes_and_providers(house: Any, kit: SimpleNamespace) -> None:
    async def estimate() -> Any:
        return await house.stub.Estimate(pb.EstimateRequest(user_id="u", spec=kit.spec()))

    first = await estimate()
    assert [one.backend for one in first.candidates].count("aiprod") == 1
    assert {one.backend for one in first.candidates} == {"aiprod", "runway", "veo", "replicate"}
    assert not first.candidates[0].available
    assert "no pool has reported" in first.candidates[0].detail
    assert first.recommended_backend == "veo"  # the cheapest provider: 4 s of lite at 0.05
    node = NodeStateChanged(node_id="n", backend="aiprod", device="NVIDIA H200", state=NODE_STATE_READY)
    await house.tell(kit.snapshot(queued_seconds=30.0, ready=2), kit.snapshot("veo", ready=0, at=1), node)
    await house.tell(kit.snapshot(queued_seconds=99.0, ready=2, at=-5))

    async def ready() -> Any:
        found = await estimate()
        own, veo = found.candidates[0], next(one for one in found.candidates if one.backend == "veo")
        return found if own.available and not veo.available and "H200" in own.detail else None

    found = await eventually(ready)
    own = found.candidates[0]
    assert (found.recommended_backend, found.recommended_model) == ("aiprod", "aiprod-nano")
    assert own.low.micros <= own.amount.micros <= own.high.micros
    assert own.price_id == "price_h200_2026"
    assert 15.0 < own.eta.ToTimedelta().total_seconds() < 25.0
    turbo = next(one for one in found.candidates if one.model == "gen4_turbo")
    assert (turbo.available, turbo.amount.micros) == (False, 250_000)
    assert "needs a first image" in turbo.detail
    runway = next(one for one in found.candidates if one.model == "gen4.5")
    assert "makes 3 s at 1280×720 for the 2.12 s asked at 64×64" in runway.detail


async def test_predictions_follow_what_is_measured(house: Any, kit: SimpleNamespace) -> None:
    async def estimate(**changes: Any) -> Any:
        request = pb.EstimateRequest(user_id="u", spec=kit.spec(**changes))
        return (await house.stub.Estimate(request)).candidates[0]

    before = await estimate()
    for number in range(24):
        job, user = ids()
        seconds = 20.0 + number % 3
        await house.tell(kit.attempt(job, user, seconds=seconds), kit.command(job, user))

    async def learnt() -> Any:
        now = await estimate()
        return now if "fitted on 24" in now.detail else None

    now = await eventually(learnt, 30)
    assert abs(now.amount.micros - 21 * 11) < 15
    assert now.high.micros - now.low.micros < before.high.micros - before.low.micros + 200
    assert (await estimate(steps=40)).amount.micros > 1.5 * now.amount.micros


async def test_without_a_broker_money_is_still_set_aside(parts: Any, fresh_url: Any, kit: SimpleNamespace) -> None:
    """Kafka away, a restart with Kafka there: what was decided meanwhile is told."""
    url, (job, user) = fresh_url(), ids()
    async with kit.running(parts, url, kafka_bootstrap=f"127.0.0.1:{free_ports(1)[0]}") as alone:
        await alone.budget(user, 0)
        assert (await alone.reserve(job, user)).state == DECLINED
    async with kit.running(parts, url) as back:

        async def told() -> Any:
            return [one.type for one in await back.emitted(user)]

        assert await eventually(told) == ["edgecore.cost.v1.BudgetExhausted"]


async def test_bytes_that_are_no_event_stop_nobody(house: Any, kit: SimpleNamespace) -> None:
    (job, user), broken = ids(), new_id("job")
    unknown = kit.command(broken, user, "PENDING")
    unknown.spec.model = "nobody's"
    nobody = kit.attempt(broken, "", 1)
    await house.tell(unknown, nobody, kit.attempt(job, user))
    await eventually(lambda: _equal(house.lines(job), [(1, "COMPUTE", 22)]), 40)

    async def letters() -> Any:
        found = [
            one.reason
            for topic in (JOB_COMMANDS, JOB_EVENTS)
            for one in await dlq.read(house.settings.kafka_bootstrap, topic)
            if one.key == broken.encode()
        ]
        return found if len(found) == 2 else None

    reasons = await eventually(letters, 40)
    assert "model" in reasons[0]
    assert "user" in reasons[1]
    assert await house.reservation(broken) is None


async def test_the_migrations_make_the_tables(house: Any) -> None:
    assert await schema_drift(house.database, tables.tables) == []
