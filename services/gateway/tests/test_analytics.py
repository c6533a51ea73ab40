"""GET /api/v1/analytics/usage against a stand-in for analytics over real gRPC: whose figures, and what if not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, get_args

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from edgecore.analytics.v1 import analytics_pb2 as pb
from edgecore.analytics.v1 import analytics_pb2_grpc
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import EdgecoreError, FieldProblem, Internal, InvalidInput
from edgecore_contracts.money import usd
from edgecore_gateway.adapters import analytics_client
from edgecore_gateway.adapters.analytics_client import AnalyticsClient
from edgecore_gateway.domain.principal import ALL_SCOPES, Principal, Role
from edgecore_gateway.entrypoints import analytics, problems
from edgecore_gateway.entrypoints.caller import CallerPrincipal
from edgecore_runtime.clock import FakeClock
from edgecore_runtime.grpc_server import GrpcServer

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
ROUTE = "/api/v1/analytics/usage"


class Analytics(analytics_pb2_grpc.AnalyticsServiceServicer):
    """Answers one customer's figures, and remembers the last question; or fails, or hangs."""

    def __init__(self) -> None:
        self.question = pb.GetUsageRequest()
        self.error: EdgecoreError | None = None
        self.hangs = False

    async def GetUsage(self, request: pb.GetUsageRequest, context: Any) -> pb.GetUsageResponse:
        self.question = request
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        latency = pb.Latency(p50=1.23456, p95=2, p99=3)
        usage = pb.Usage(jobs=2, delivered=1, attempts=3, fallbacks=1, cost=usd(1_250_027), latency=latency)
        empty = pb.UsageBucket(start=timestamp(datetime(2026, 11, 20, tzinfo=UTC)), usage=pb.Usage(cost=usd(0)))
        return pb.GetUsageResponse(
            total=usage, buckets=[empty], customers=[pb.CustomerUsage(user_id="user_a", usage=usage)]
        )


@pytest.fixture
def standin() -> Analytics:
    return Analytics()


@pytest_asyncio.fixture
async def server(standin: Analytics) -> AsyncIterator[GrpcServer]:
    started = GrpcServer(
        "127.0.0.1", 0, [], lambda one: analytics_pb2_grpc.add_AnalyticsServiceServicer_to_server(standin, one)
    )
    await started.start()
    yield started
    await started.stop()


def caller(user_id: str = "user_a", role: Role = Role.USER) -> Principal:
    return Principal(user_id, role, ALL_SCOPES, "key_1", by_key=True)


ADMIN = caller("user_admin", Role.ADMIN)


async def get(address: str, principal: Principal = caller(), **parameters: str) -> httpx.Response:  # noqa: B008
    """Ask a gateway of this one route, as `principal`."""
    client = AnalyticsClient(address)
    app = FastAPI()
    app.state.parts = SimpleNamespace(analytics=client, clock=FakeClock(NOW))
    problems.install(app)
    app.include_router(analytics.router)
    app.dependency_overrides[get_args(CallerPrincipal)[1].dependency] = lambda: principal
    await client.start()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
            return await http.get(ROUTE, params=parameters)
    finally:
        await client.stop()


def at(server: GrpcServer) -> str:
    return f"127.0.0.1:{server.port}"


async def test_the_answer(server: GrpcServer, standin: Analytics) -> None:
    answer = await get(at(server), **{"from": "2026-11-20", "to": "2026-11-21T09:00:00+01:00", "bucket": "hour"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    body = answer.json()
    figures = {
        "jobs": 2,
        "delivered": 1,
        "failed": 0,
        "cancelled": 0,
        "attempts": 3,
        "fallbacks": 1,
        "video_seconds": 0.0,
        "compute_seconds": 0.0,
        "cost": "1.250027",
        "latency": {"p50": 1.235, "p95": 2.0, "p99": 3.0},
    }
    assert (body["from"], body["to"], body["bucket"]) == (
        "2026-11-20T00:00:00.000Z",
        "2026-11-21T08:00:00.000Z",
        "hour",
    )
    assert (body["total"], body["customers"]) == (figures, [{"customer": "user_a"} | figures])
    (bucket,) = body["buckets"]
    assert (bucket["start"], bucket["jobs"], bucket["cost"], bucket["latency"]) == (
        "2026-11-20T00:00:00.000Z",
        0,
        "0.000000",
        None,
    )
    assert standin.question.bucket == pb.BUCKET_HOUR


@pytest.mark.parametrize(
    ("principal", "customer", "asked"),
    [
        (caller(), None, "user_a"),
        (caller(), "user_a", "user_a"),
        (ADMIN, None, ""),
        (ADMIN, "user_b", "user_b"),
    ],
)
async def test_whose_figures(
    server: GrpcServer, standin: Analytics, principal: Principal, customer: str | None, asked: str
) -> None:
    answer = await get(at(server), principal, **({"customer": customer} if customer else {}))
    assert (answer.status_code, standin.question.user_id) == (200, asked)
    assert standin.question.to.ToDatetime(UTC) == NOW
    assert getattr(standin.question, "from").ToDatetime(UTC) == datetime(2026, 10, 22, 8, 30, tzinfo=UTC)


async def test_another_customers_figures_are_refused(server: GrpcServer, standin: Analytics) -> None:
    answer = await get(at(server), customer="user_b")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert standin.question == pb.GetUsageRequest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from", "yesterday"),
        ("to", "2026-11-21T08:00:00"),
        ("to", "0001-01-01T00:00:00+23:00"),
        ("to", "0001-01-02T00:00:00Z"),
        ("from", ""),
        ("bucket", "week"),
        ("customer", "\0"),
        ("customer", "x" * 65),
    ],
)
async def test_an_unusable_parameter(server: GrpcServer, field: str, value: str) -> None:
    answer = await get(at(server), ADMIN, **{field: value})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_a_period_that_analytics_refuses(server: GrpcServer, standin: Analytics) -> None:
    standin.error = InvalidInput([FieldProblem("from", "must be before `to`")])
    answer = await get(at(server))
    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [{"field": "from", "rule": "must be before `to`"}],
    )


async def test_while_analytics_is_away(
    server: GrpcServer, standin: Analytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(analytics_client, "CALL_SECONDS", 0.3)
        answers = [await get(""), await get("127.0.0.1:1")]
        standin.error = Internal("a bug of ours")
        answers.append(await get(at(server)))
        standin.hangs = True
        answers.append(await get(at(server)))
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]
        assert "bug" not in answer.text
    standin.hangs, standin.error = False, None
    assert (await get(at(server))).status_code == 200
