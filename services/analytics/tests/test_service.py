"""Analytics as its callers and Prometheus see it, over a real broker and a real PostgreSQL."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from edgecore.analytics.v1 import analytics_pb2 as pb
from edgecore.cost.v1.events_pb2 import BudgetExhausted
from edgecore.jobs.v1.commands_pb2 import CancelJob, GenerateVideo
from edgecore.scheduler.v1.events_pb2 import NodeStateChanged, PoolSnapshot
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.states import JobState
from edgecore_contracts.topics import catalogue, topic_of
from edgecore_runtime import kafka_clients
from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts
from edgecore_runtime.ids import new_id
from edgecore_runtime.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Every test asks about a time of its own, so that none sees another's jobs.
DAYS = iter(range(0, 10_000, 40))


@pytest.fixture
def start(kit: SimpleNamespace) -> datetime:
    found: datetime = kit.START + timedelta(days=next(DAYS))
    return found


@pytest.fixture
def own_parts(tmp_path: Path) -> Iterator[EmbeddedParts]:
    with embedded_parts(tmp_path) as started:
        yield started


async def usage_of(house: Any, start: datetime, jobs: int, cost: int, user_id: str = "") -> pb.GetUsageResponse:
    """The answer about the hours around `start`, once it has counted as much."""

    async def counted() -> pb.GetUsageResponse | None:
        answer: pb.GetUsageResponse = await house.ask(
            user_id, start - timedelta(hours=1), start + timedelta(hours=2)
        )
        ended = answer.total.delivered + answer.total.failed + answer.total.cancelled
        return answer if (ended, answer.total.cost.micros) == (jobs, cost) else None

    found = await eventually(counted, 30)
    assert found is not None
    return found


async def test_usage_of_all_and_of_one(house: Any, kit: SimpleNamespace, start: datetime) -> None:
    later = start + timedelta(hours=1)
    for seconds in (1.0, 2.0, 3.0, 4.0):
        await house.tell(*kit.life("user_a", accepted_at=start, seconds=seconds))
    await house.tell(*kit.life("user_b", accepted_at=later, backends=("aiprod", "runway"), micros=500))
    await house.tell(*kit.life("user_b", accepted_at=later, end=JobState.ERROR, micros=1))
    await house.tell(*kit.life("user_b", accepted_at=later, end=JobState.CANCELLED, micros=0))
    answer = await usage_of(house, start, 7, 4 * 30 + 1000 + 1)
    total = answer.total
    assert (total.jobs, total.delivered, total.failed, total.cancelled) == (7, 5, 1, 1)
    assert (total.attempts, total.fallbacks, total.video_seconds) == (8, 1, 10.0)
    assert total.compute_seconds == pytest.approx(8 * 1.75)
    assert (total.cost.micros, total.cost.currency) == (1121, "USD")
    # Of 1, 2, 3, 4, 10 s.
    assert (total.latency.p50, total.latency.p95) == (3.0, pytest.approx(8.8))
    midnight = [bucket.start.ToDatetime(tzinfo=UTC) for bucket in answer.buckets]
    first = (start - timedelta(hours=1)).replace(minute=0)
    assert midnight == [first + timedelta(hours=number) for number in range(4)]
    assert [bucket.usage.jobs for bucket in answer.buckets] == [0, 4, 3, 0]
    assert not answer.buckets[0].usage.HasField("latency")
    assert [(one.user_id, one.usage.jobs) for one in answer.customers] == [("user_b", 3), ("user_a", 4)]

    own = await usage_of(house, start, 4, 120, "user_a")
    assert [(one.user_id, one.usage) for one in own.customers] == [("user_a", own.total)]
    assert own.total.latency.p50 == 2.5
    nobody = await house.ask("user_nobody", start, later)
    assert [(one.user_id, one.usage.jobs) for one in nobody.customers] == [("user_nobody", 0)]
    by_day = await house.ask("", start - timedelta(days=3), start + timedelta(days=3), pb.BUCKET_DAY)
    assert [bucket.usage.jobs for bucket in by_day.buckets] == [0, 0, 0, 7, 0, 0, 0]


async def test_a_repeated_event_counts_once(house: Any, kit: SimpleNamespace, start: datetime) -> None:
    events = [kit.enveloped(message) for message in kit.life("user_a", accepted_at=start)]
    await house.say(*events, *events, *reversed(events))
    # The same facts again under new ids, as a replaying owner that lost its outbox would tell them.
    await house.tell(*kit.life("user_a", accepted_at=start, job_id=events[0].key))
    marker = kit.life("user_z", accepted_at=start, micros=0)
    await house.tell(*marker)
    total = (await usage_of(house, start, 2, 30)).total
    assert (total.jobs, total.attempts, total.compute_seconds) == (2, 2, 3.5)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"bucket": pb.BUCKET_UNSPECIFIED}, "bucket: must be"),
        ({"to": None}, "to: a time is missing"),
        ({"days": 0}, "from: must be before"),
        ({"days": -1}, "from: must be before"),
        ({"days": 32}, "at most 31 days"),
        ({"days": 367, "bucket": pb.BUCKET_DAY}, "at most 366 days"),
    ],
)
async def test_a_question_that_breaks_a_rule(
    house: Any, kit: SimpleNamespace, change: dict[str, Any], rule: str
) -> None:
    end = kit.START + timedelta(days=change.get("days", 1))
    request = pb.GetUsageRequest(to=timestamp(end), bucket=change.get("bucket", pb.BUCKET_HOUR))
    getattr(request, "from").CopyFrom(timestamp(kit.START))
    if "to" in change:
        request.to.CopyFrom(Timestamp())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await house.stub.GetUsage(request, timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert rule in (refused.value.details() or "")


async def test_a_user_id_that_is_an_attack_finds_nothing(house: Any, start: datetime) -> None:
    answer = await house.ask("x' OR '1'='1", start, start + timedelta(hours=1))
    assert answer.total.jobs == 0


async def test_events_that_cannot_be_understood_are_parked(
    house: Any, kit: SimpleNamespace, start: datetime
) -> None:
    bad = [kit.enveloped(GenerateVideo(job_id=new_id("job"))), kit.enveloped(GenerateVideo(), "nobody")]
    await house.say(*bad)
    await house.tell(*kit.life("user_a", accepted_at=start))
    await usage_of(house, start, 1, 30)
    topic = catalogue()[topic_of(bad[0].message).name].dead_letters
    bodies: list[bytes] = []

    async def parked() -> bool:
        for records in (await reader.getmany(timeout_ms=500)).values():
            bodies.extend(record.value for record in records)
        return {event.body() for event in bad} <= set(bodies)

    async with kafka_clients.opened(kafka_clients.reader(house.settings.kafka_bootstrap)) as reader:
        reader.subscribe([topic])
        await eventually(parked)


async def test_metrics(house: Any, kit: SimpleNamespace, start: datetime) -> None:
    now = timestamp(datetime.now(UTC))
    pool = PoolSnapshot(occurred_at=now)
    pool.pool.pool, pool.pool.backend, pool.pool.queued, pool.pool.queued_seconds = "p1", "aiprod", 3, 7.5
    pool.pool.running, pool.pool.capacity = 1, 2
    node = NodeStateChanged(node_id="node_secret", pool="p1", state="NODE_STATE_READY", occurred_at=now)
    # Names of this test's own, so that these are exact.
    exact = {
        'edgecore_analytics_pool_queued_jobs{backend="aiprod",pool="p1"}': 3.0,
        'edgecore_analytics_pool_queued_seconds{backend="aiprod",pool="p1"}': 7.5,
        'edgecore_analytics_pool_running_jobs{backend="aiprod",pool="p1"}': 1.0,
        'edgecore_analytics_pool_capacity_jobs{backend="aiprod",pool="p1"}': 2.0,
        'edgecore_analytics_nodes{pool="p1",state="READY"}': 1.0,
        'edgecore_analytics_job_latency_seconds_bucket{backend="b2",le="2.5",model="m"}': 0.0,
        'edgecore_analytics_job_latency_seconds_bucket{backend="b2",le="5.0",model="m"}': 1.0,
        'edgecore_analytics_attempts_total{backend="b1",outcome="FAILED",reason="TIMEOUT"}': 1.0,
        'edgecore_analytics_attempts_total{backend="b2",outcome="SUCCEEDED",reason="COMPLETED"}': 1.0,
        'edgecore_analytics_jobs_finished_total{model="m",state="DELIVERED"}': 1.0,
        "edgecore_analytics_budgets_exhausted_total": 1.0,
    }
    at_least = {
        'edgecore_analytics_cost_micros_total{kind="COMPUTE"}': 60.0,
        "edgecore_analytics_fallbacks_total": 1.0,
        'edgecore_analytics_jobs_open{state="INIT"}': 1.0,
    }
    await house.tell(pool, node, key="p1")
    await house.tell(BudgetExhausted(user_id="user_secret"), key="user_secret")
    await house.tell(CancelJob(job_id="job_secret"))
    events = kit.life("user_secret", accepted_at=start, backends=("b1", "b2"), seconds=4, model="m")
    await house.tell(*events, *events)
    await house.tell(kit.life("user_secret", accepted_at=start)[0])

    async def told() -> bool:
        now = await metrics_of(house)
        grown = all(now.get(name, 0.0) >= value for name, value in at_least.items())
        return grown and {name: now.get(name) for name in exact} == exact

    await eventually(told)
    assert "secret" not in str(await metrics_of(house))


async def metrics_of(house: Any) -> dict[str, float]:
    """Every series that analytics shows Prometheus, with its value."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def test_health(house: Any) -> None:
    async with httpx.AsyncClient(base_url=house.url) as client:
        for path in ("/health", "/health/live", "/health/ready"):
            assert (await client.get(path)).json() == {"status": "ok", "failures": {}}


async def test_a_restart_goes_on_where_it_ended(
    own_parts: EmbeddedParts, kit: SimpleNamespace, start: datetime
) -> None:
    url, bootstrap = own_parts.database_url("analytics"), own_parts.kafka_bootstrap
    first, second = (kit.life("user_a", accepted_at=start) for _ in range(2))
    async with kit.running(url, bootstrap) as house:
        await house.tell(*first, *second[:2])
        await usage_of(house, start, 1, 30)
        producer_settings = house.settings
    async with kafka_clients.opened(kafka_clients.producer(producer_settings.kafka_bootstrap)) as producer:
        for event in map(kit.enveloped, second[2:]):
            headers = [(name, value.encode()) for name, value in event.headers().items()]
            topic = topic_of(event.message).name
            await producer.send_and_wait(topic, key=event.key.encode(), value=event.body(), headers=headers)
    async with kit.running(url, bootstrap) as house:
        total = (await usage_of(house, start, 2, 60)).total
        assert (total.jobs, total.delivered, total.attempts) == (2, 2, 2)


async def test_a_broker_that_lost_its_log_changes_no_figure(
    own_parts: EmbeddedParts, kit: SimpleNamespace, start: datetime
) -> None:
    events = [kit.enveloped(message) for message in kit.life("user_a", accepted_at=start)]
    url, bootstrap = own_parts.database_url("analytics"), own_parts.kafka_bootstrap
    async with kit.running(url, bootstrap) as house:
        await house.say(*events)
        await usage_of(house, start, 1, 30)
        await asyncio.to_thread(own_parts.restart_broker)
        async with kafka_clients.opened(kafka_clients.producer(bootstrap)) as producer:
            again = replace(house, producer=producer)
            # As the owners' relays do: all that they sent, and then what is new.
            await again.say(*events)
            await again.tell(*kit.life("user_a", accepted_at=start))
            total = (await usage_of(house, start, 2, 60)).total
        assert (total.jobs, total.attempts, total.compute_seconds) == (2, 2, 3.5)


async def test_without_its_parts_it_starts_and_says_what_is_away(kit: SimpleNamespace) -> None:
    from edgecore.analytics.v1 import analytics_pb2_grpc
    from edgecore_analytics.bootstrap import build
    from edgecore_analytics.settings import Settings
    from edgecore_runtime import grpc_client
    from edgecore_runtime.grpc_server import GrpcServer
    from edgecore_runtime.service import RunningService

    nowhere = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"
    service = build(Settings(database_url=nowhere, kafka_bootstrap="127.0.0.1:1", http_port=0, grpc_port=0))
    async with RunningService(service):
        port = next(one.port for one in service.components if isinstance(one, GrpcServer))
        channel = grpc_client.channel(f"127.0.0.1:{port}")
        request = pb.GetUsageRequest(to=timestamp(kit.START + timedelta(hours=1)), bucket=pb.BUCKET_HOUR)
        getattr(request, "from").CopyFrom(timestamp(kit.START))
        with pytest.raises(grpc.aio.AioRpcError) as away:
            await analytics_pb2_grpc.AnalyticsServiceStub(channel).GetUsage(request, timeout=20)
        assert away.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await service.health.failures(service.health.ready) != {}
        assert await service.health.failures(service.health.live) == {}
        await channel.close()
