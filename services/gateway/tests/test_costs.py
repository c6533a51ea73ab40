"""Estimates, reservations, budgets and bills, with a stand-in for cost over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import func, select

from edgecore.cost.v1 import cost_pb2 as pb
from edgecore.cost.v1 import cost_pb2_grpc
from edgecore.cost.v1.events_pb2 import CostKind, CostPosted, ReservationDecided
from edgecore.jobs.v1.commands_pb2 import BackendQuote, ReservationState
from edgecore_contracts.cloudevents import Event
from edgecore_contracts.errors import Unavailable
from edgecore_contracts.money import usd
from edgecore_contracts.topics import COST_EVENTS
from edgecore_gateway.adapters.tables import uploads
from edgecore_gateway.bootstrap import build
from edgecore_gateway.domain.principal import Role
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.service import RunningService
from edgecore_runtime.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

URL = "/api/v1/generate"
RESERVE_SECONDS = 3.0
"""Longer than a busy machine keeps an answer back; a test that wants none in time waits for it."""
PROMPT = {"prompt": "a red circle moving right"}
SECURED = pb.ReserveResponse(
    state=ReservationState.RESERVATION_STATE_SECURED,
    estimate=usd(30),
    amount=usd(60),
    quotes=[BackendQuote(backend="aiprod", upper_bound=usd(60))],
)
PICTURE = (  # 16 × 16 pixels
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAAAAAA6mKC9AAAADUlEQVR42mNgGAXIAAAB"
    "EAABf80DtQAAAABJRU5ErkJggg=="
)
DECLINED = pb.ReserveResponse(state=ReservationState.RESERVATION_STATE_DECLINED, detail="the budget has 0 left")


@dataclass
class Cost(cost_pb2_grpc.CostServiceServicer):
    """What answers in place of cost: `answer` to reservations, or nothing for `delay` seconds."""

    answer: pb.ReserveResponse = field(default_factory=lambda: SECURED)
    away: bool = False
    delay: float = 0.0
    reserved: list[pb.ReserveRequest] = field(default_factory=list)
    estimated: list[pb.EstimateRequest] = field(default_factory=list)
    budgets: dict[str, pb.Budget] = field(default_factory=dict)

    async def Reserve(self, request: pb.ReserveRequest, context: Any) -> pb.ReserveResponse:
        self._check()
        await asyncio.sleep(self.delay)
        self.reserved.append(request)
        return self.answer

    async def Estimate(self, request: pb.EstimateRequest, context: Any) -> pb.EstimateResponse:
        self._check()
        self.estimated.append(request)
        own = pb.Candidate(backend="aiprod", model=request.spec.model, amount=usd(30), low=usd(20), high=usd(60))
        own.available, own.price_id, own.detail = True, "price_cpu_2026", "2.7 s on cpu"
        own.eta.FromMilliseconds(2700)
        runway = pb.Candidate(backend="runway", model="gen4.5", amount=usd(360_000))
        return pb.EstimateResponse(
            candidates=[own, runway],
            recommended_backend="aiprod",
            recommended_model=request.spec.model,
            reason="our own nodes are ready",
        )

    async def GetBudget(self, request: pb.GetBudgetRequest, context: Any) -> pb.GetBudgetResponse:
        self._check()
        return pb.GetBudgetResponse(budget=self.budgets.get(request.user_id, pb.Budget(user_id=request.user_id)))

    async def PutBudget(self, request: pb.PutBudgetRequest, context: Any) -> pb.PutBudgetResponse:
        self._check()
        self.budgets[request.budget.user_id] = request.budget
        return pb.PutBudgetResponse(budget=request.budget)

    def _check(self) -> None:
        if self.away:
            raise Unavailable("away")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(house: Any, kit: SimpleNamespace) -> AsyncIterator[Any]:
    """A second gateway on the same database, which has a cost service.

    The first one talks to Kafka for both: another member would have its group rebalance in the middle of tests.
    """
    cost = Cost()
    server = GrpcServer("127.0.0.1", 0, [], lambda one: cost_pb2_grpc.add_CostServiceServicer_to_server(cost, one))
    await server.start()
    address = f"127.0.0.1:{server.port}"
    changes = {"cost_address": address, "kafka_bootstrap": f"127.0.0.1:{free_ports(1)[0]}"}
    settings = house.settings.model_copy(update=changes | {"reserve_timeout": RESERVE_SECONDS})
    service = build(settings)
    async with RunningService(service):
        yield SimpleNamespace(cost=cost, url=kit.url_of(service), server=server)
    await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def buyer(house: Any, shop: Any) -> AsyncIterator[httpx.AsyncClient]:
    shop.cost.answer, shop.cost.away, shop.cost.delay = SECURED, False, 0.0
    shop.cost.reserved.clear()
    shop.cost.estimated.clear()
    async with house.new_caller() as client:
        client.base_url = httpx.URL(shop.url)
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def admin(house: Any, shop: Any) -> AsyncIterator[httpx.AsyncClient]:
    shop.cost.away = False
    async with house.new_caller(Role.ADMIN) as client:
        client.base_url = httpx.URL(shop.url)
        yield client


async def ready(shop: Any, buyer: httpx.AsyncClient) -> None:
    """Until the pause after a test in which cost was away is over."""

    async def secured() -> bool:
        job = (await buyer.post(URL, json=PROMPT)).json()
        return job.get("cost_estimated") is not None

    await eventually(secured)
    shop.cost.reserved.clear()


async def say(house: Any, *messages: Any, times: int = 1) -> None:
    for message in messages:
        event = enveloped(message)
        headers = [(name, value.encode()) for name, value in event.headers().items()]
        for _ in range(times):
            await house.producer.send_and_wait(
                COST_EVENTS, key=event.key.encode(), value=event.body(), headers=headers
            )


def enveloped(message: Any) -> Event:
    return Event(new_id("evt"), "edgecore/cost", datetime.now(UTC), message.job_id, message)


def posted(job_id: str, attempt: int, micros: int, kind: str = "COMPUTE") -> CostPosted:
    return CostPosted(
        job_id=job_id,
        attempt=attempt,
        kind=CostKind.Value(f"COST_KIND_{kind}"),
        amount=usd(micros),
        quantity=2.5,
        price_id="price_cpu_2026",
    )


async def test_an_accepted_job_has_its_money_set_aside(house: Any, shop: Any, buyer: httpx.AsyncClient) -> None:
    await ready(shop, buyer)
    job = (await buyer.post(URL, json=PROMPT | {"max_cost": "1.5"})).json()
    assert (job["cost_estimated"], job["cost_actual"]) == ("0.000030", None)
    assert job["spec"]["max_cost"] == "1.500000"
    (request,) = shop.cost.reserved
    assert (request.job_id, request.fallback, request.max_cost) == (job["id"], True, usd(1_500_000))
    (command,) = await eventually(lambda: house.commands(job["id"]))
    assert command.message.reservation == ReservationState.RESERVATION_STATE_SECURED
    assert list(command.message.quotes) == list(SECURED.quotes)
    assert (command.message.fallback, command.message.max_cost) == (True, usd(1_500_000))
    cost = (await buyer.get(f"/api/v1/jobs/{job['id']}/cost")).json()
    assert cost == {"estimated": "0.000030", "actual": None, "reservation": "secured", "lines": []}


async def test_a_named_model_allows_no_fallback(shop: Any, buyer: httpx.AsyncClient) -> None:
    await ready(shop, buyer)
    await buyer.post(URL, json=PROMPT | {"model": "aiprod-nano"})
    await buyer.post(URL, json=PROMPT | {"model": "auto"})
    assert [one.fallback for one in shop.cost.reserved] == [False, True]


async def test_a_repetition_reserves_once(shop: Any, buyer: httpx.AsyncClient) -> None:
    await ready(shop, buyer)
    key = {"Idempotency-Key": "once"}
    first = await buyer.post(URL, json=PROMPT, headers=key)
    again = await buyer.post(URL, json=PROMPT, headers=key)
    assert (again.json()["id"], again.headers["idempotency-replayed"]) == (first.json()["id"], "true")
    assert len(shop.cost.reserved) == 1
    other = await buyer.post(URL, json=PROMPT | {"steps": 3}, headers=key)
    assert other.status_code == 409
    assert len(shop.cost.reserved) == 1


async def test_over_budget_is_402_and_makes_no_job(shop: Any, buyer: httpx.AsyncClient) -> None:
    await ready(shop, buyer)
    before = (await buyer.get("/api/v1/jobs")).json()["data"]
    shop.cost.answer = DECLINED
    key = {"Idempotency-Key": "poor"}
    answer = await buyer.post(URL, json=PROMPT, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (402, "budget_exhausted")
    assert answer.json()["detail"] == "the budget has 0 left"
    assert answer.headers["x-should-retry"] == "false"
    assert (await buyer.get("/api/v1/jobs")).json()["data"] == before
    shop.cost.answer = SECURED
    assert (await buyer.post(URL, json=PROMPT, headers=key)).status_code == 202


@pytest.mark.parametrize("fault", ["away", "slow"])
async def test_without_cost_jobs_are_accepted_and_decided_later(
    house: Any, shop: Any, buyer: httpx.AsyncClient, fault: str
) -> None:
    await ready(shop, buyer)
    shop.cost.away, shop.cost.delay = fault == "away", 2 * RESERVE_SECONDS
    job = (await buyer.post(URL, json=PROMPT)).json()
    assert job["cost_estimated"] is None
    route = f"/api/v1/jobs/{job['id']}/cost"
    assert (await buyer.get(route)).json()["reservation"] == "pending"
    (command,) = await eventually(lambda: house.commands(job["id"]))
    assert command.message.reservation == ReservationState.RESERVATION_STATE_PENDING
    decided = ReservationDecided(
        job_id=job["id"], state=ReservationState.RESERVATION_STATE_SECURED, estimate=usd(31)
    )
    await say(house, decided)

    async def shown() -> bool:
        cost = (await buyer.get(route)).json()
        return bool((cost["reservation"], cost["estimated"]) == ("secured", "0.000031"))

    await eventually(shown)


async def test_a_gateway_without_cost_reserves_nothing(house: Any, client: httpx.AsyncClient) -> None:
    job = (await client.post(URL, json=PROMPT)).json()
    assert (await client.get(f"/api/v1/jobs/{job['id']}/cost")).json()["reservation"] == "none"
    assert (await client.post("/api/v1/estimate", json=PROMPT)).status_code == 503


async def test_lines_add_up_once_and_the_tag_changes(
    house: Any, shop: Any, buyer: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    await ready(shop, buyer)
    job_id = (await buyer.post(URL, json=PROMPT)).json()["id"]
    await house.tell(*(kit.changed(job_id, version) for version in range(1, 6)))

    async def over() -> Any:
        answer = await buyer.get(f"/api/v1/status/{job_id}")
        return answer if answer.json()["state"] == "DELIVERED" else None

    tag = (await eventually(over)).headers["etag"]
    waiting = asyncio.create_task(
        buyer.get(f"/api/v1/status/{job_id}", params={"wait": 20}, headers={"If-None-Match": tag})
    )
    line = posted(job_id, 1, 27)
    await say(house, line, times=3)
    changed = (await waiting).json()
    assert changed["cost_actual"] == "0.000027"
    await say(house, posted(job_id, 1, 99), posted(job_id, 2, 3), posted(job_id, 1, 5, "STORAGE"))

    async def complete() -> Any:
        cost = (await buyer.get(f"/api/v1/jobs/{job_id}/cost")).json()
        return cost if len(cost["lines"]) == 3 else None

    cost = await eventually(complete)
    assert cost["actual"] == "0.000035"
    assert [(one["attempt"], one["kind"], one["amount"]) for one in cost["lines"]] == [
        (1, "compute", "0.000027"),
        (1, "storage", "0.000005"),
        (2, "compute", "0.000003"),
    ]
    assert (await buyer.get(f"/api/v1/status/{job_id}")).json()["cost_actual"] == cost["actual"]


async def test_another_users_cost_is_not_found(shop: Any, buyer: httpx.AsyncClient, stranger: Any) -> None:
    job_id = (await buyer.post(URL, json=PROMPT)).json()["id"]
    assert (await stranger.get(f"/api/v1/jobs/{job_id}/cost")).status_code == 404
    assert (await buyer.get("/api/v1/jobs/nonsense/cost")).status_code == 404


async def pictures(house: Any) -> int:
    async with house.database.reading() as session:
        return int((await session.execute(select(func.count()).select_from(uploads))).scalar_one())


async def test_cost_knows_what_a_job_works_with(house: Any, shop: Any, buyer: httpx.AsyncClient) -> None:
    body = PROMPT | {"image": PICTURE, "upscale": True, "flow_guidance": {"motion": [1, 0], "strength": 0.5}}
    before = await pictures(house)
    assert (await buyer.post("/api/v1/estimate", json=body)).status_code == 200
    assert await pictures(house) == before
    assert (await buyer.post(URL, json=body)).status_code == 202
    assert await pictures(house) == before + 1
    (estimated,), (reserved,) = shop.cost.estimated, shop.cost.reserved
    for spec in (estimated.spec, reserved.spec):
        assert spec.image.startswith("uploads/upl_")
        assert (spec.upscale, spec.flow_guidance.strength) == (True, 0.5)
    assert reserved.fallback is False


async def test_a_declined_job_leaves_no_picture(house: Any, shop: Any, buyer: httpx.AsyncClient) -> None:
    shop.cost.answer = DECLINED
    before = await pictures(house)
    assert (await buyer.post(URL, json=PROMPT | {"image": PICTURE})).status_code == 402
    assert await pictures(house) == before


async def test_an_estimate(shop: Any, buyer: httpx.AsyncClient) -> None:
    answer = await buyer.post("/api/v1/estimate", json=PROMPT)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["candidates"][0] == {
        "backend": "aiprod",
        "model": "aiprod-nano",
        "amount": "0.000030",
        "low": "0.000020",
        "high": "0.000060",
        "currency": "USD",
        "eta_seconds": 2.7,
        "available": True,
        "price_id": "price_cpu_2026",
        "detail": "2.7 s on cpu",
    }
    assert (body["candidates"][1]["amount"], body["candidates"][1]["eta_seconds"]) == ("0.360000", None)
    assert body["recommended"] == {
        "backend": "aiprod",
        "model": "aiprod-nano",
        "reason": "our own nodes are ready",
    }
    refused = await buyer.post("/api/v1/estimate", json=PROMPT | {"width": 65})
    assert (refused.status_code, refused.json()["errors"][0]["nearest"]) == (422, 64)
    shop.cost.away = True
    assert (await buyer.post("/api/v1/estimate", json=PROMPT)).status_code == 503


async def test_budgets_are_an_administrators(
    shop: Any, admin: httpx.AsyncClient, buyer: httpx.AsyncClient
) -> None:
    user = (await buyer.get("/api/v1/auth/me")).json()["id"]
    route = f"/api/v1/admin/budgets/{user}"
    for method in ("GET", "PUT"):
        assert (await buyer.request(method, route, json={"monthly": "1"})).status_code == 403
    assert (await admin.get(route)).json() == {"monthly": None}
    assert (await admin.put(route, json={"monthly": "10.5"})).json() == {"monthly": "10.500000"}
    assert (await admin.get(route)).json() == {"monthly": "10.500000"}
    assert (await admin.put(route, json={"monthly": 0})).json() == {"monthly": "0.000000"}
    assert (await admin.put(route, json={"monthly": None})).json() == {"monthly": None}
    assert (await admin.get("/api/v1/admin/budgets/user_nobody")).status_code == 404
    for wrong in ("x", "-1", "1e3", 1e-7, True, {}, 10**400):
        answer = await admin.put(route, json={"monthly": wrong})
        assert answer.status_code == 422, wrong
        assert answer.json()["errors"][0]["field"].startswith("monthly")
    assert (await admin.put(route, json={})).status_code == 422
    shop.cost.away = True
    assert (await admin.get(route)).status_code == 503
    deeds = (await admin.get("/api/v1/admin/audit", params={"action": "budget.update"})).json()["data"]
    assert [one["detail"]["monthly"] for one in deeds if one["target"] == user] == [None, "0.000000", "10.500000"]


@pytest.mark.parametrize(
    ("sent", "nearest"),
    [("-1", "0.000000"), (2_000_000, "1000000.000000"), ("0.0000001", "0.000000"), ("abc", None), (True, None)],
)
async def test_an_unusable_max_cost(buyer: httpx.AsyncClient, sent: Any, nearest: Any) -> None:
    answer = await buyer.post(URL, json=PROMPT | {"max_cost": sent})
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["field"], problem.get("nearest")) == ("max_cost", nearest)
