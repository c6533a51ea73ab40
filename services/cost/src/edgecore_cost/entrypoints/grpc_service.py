"""CostService: estimates, reservations, budgets and prices."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import grpc

from edgecore.cost.v1 import cost_pb2 as pb
from edgecore.cost.v1 import cost_pb2_grpc
from edgecore.cost.v1.events_pb2 import CostKind
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import FieldProblem, InvalidInput, Unavailable
from edgecore_contracts.money import usd
from edgecore_cost.accounting import Accounting, Ask
from edgecore_cost.adapters import accounts, prices, reservations
from edgecore_cost.domain.billing import period_end, period_of
from edgecore_cost.domain.estimate import recommend
from edgecore_cost.domain.prices import UNITS, Kind, NoPrice, Price, Unit
from edgecore_cost.messages import candidate_message, micros, moment, price_message, reserve_response
from edgecore_cost.quoting import Quoting
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database
from edgecore_runtime.ids import new_id

Context = grpc.aio.ServicerContext[Any, Any]

ID_MOST = {"job_id": 40, "user_id": 64}
BACK_DATED = timedelta(minutes=1)
"""How far before now a new price may begin: clocks differ."""
TEXT_MOST = {"backend": 80, "model": 160, "source": 500}


class CostService(cost_pb2_grpc.CostServiceServicer):
    """Serves every call of the contract."""

    def __init__(self, database: Database, accounting: Accounting, quoting: Quoting, clock: Clock) -> None:
        self._database = database
        self._accounting = accounting
        self._quoting = quoting
        self._clock = clock

    async def Estimate(self, request: pb.EstimateRequest, context: Context) -> pb.EstimateResponse:
        """What the job would cost everywhere. Raises InvalidInput."""
        with _priced():
            async with self._database.reading() as session:
                candidates = await self._quoting.candidates(session, request.spec)
        response = pb.EstimateResponse(candidates=[candidate_message(one) for one in candidates])
        best = recommend(candidates)
        if best is not None:
            response.recommended_backend = best.candidate.backend
            response.recommended_model = best.candidate.model
            response.reason = best.reason
        return response

    async def Reserve(self, request: pb.ReserveRequest, context: Context) -> pb.ReserveResponse:
        """Set money aside, once a job. Raises InvalidInput, Conflict."""
        _check_id("job_id", request.job_id)
        _check_id("user_id", request.user_id)
        limit = micros("max_cost", request.max_cost) if request.HasField("max_cost") else None
        ask = Ask(request.job_id, request.user_id, request.spec, request.fallback, limit)
        with _priced():
            async with self._database.transaction() as session:
                made = await self._accounting.reserve(session, ask)
        return reserve_response(made)

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        """The user's money in the current month."""
        _check_id("user_id", request.user_id)
        period = period_of(self._clock.now())
        async with self._database.reading() as session:
            account = await accounts.peek(session, request.user_id)
            spent = await accounts.spent(session, request.user_id, period)
            held = await reservations.held(session, request.user_id)
        limit = account.limit(self._accounting.default_limit)
        return pb.GetUsageResponse(
            spent=usd(spent),
            reserved=usd(held),
            budget=None if limit is None else usd(limit),
            period_start=timestamp(period),
            period_end=timestamp(period_end(period)),
        )

    async def GetBudget(self, request: pb.GetBudgetRequest, context: Context) -> pb.GetBudgetResponse:
        """The limit that counts for the user, its own or the default."""
        _check_id("user_id", request.user_id)
        async with self._database.reading() as session:
            account = await accounts.peek(session, request.user_id)
        return pb.GetBudgetResponse(budget=_budget(request.user_id, account.limit(self._accounting.default_limit)))

    async def PutBudget(self, request: pb.PutBudgetRequest, context: Context) -> pb.PutBudgetResponse:
        """Set the user's own limit; without one the user is unlimited. Raises InvalidInput."""
        budget = request.budget
        _check_id("user_id", budget.user_id)
        limit = micros("limit", budget.limit) if budget.HasField("limit") else None
        async with self._database.transaction() as session:
            await accounts.lock(session, budget.user_id)
            await accounts.put_limit(session, budget.user_id, limit)
        return pb.PutBudgetResponse(budget=_budget(budget.user_id, limit))

    async def ListPrices(self, request: pb.ListPricesRequest, context: Context) -> pb.ListPricesResponse:
        """The prices that count now, or every row."""
        async with self._database.reading() as session:
            book = await prices.book(session)
        found = book.prices if request.all else book.current(self._clock.now())
        ordered = sorted(found, key=lambda one: (one.kind, one.backend, one.model, one.valid_from, one.id))
        return pb.ListPricesResponse(prices=[price_message(one) for one in ordered])

    async def PutPrice(self, request: pb.PutPriceRequest, context: Context) -> pb.PutPriceResponse:
        """Add a price from a date on, now or later. Raises InvalidInput."""
        price = _price(request.price, self._clock.now())
        async with self._database.transaction() as session:
            await prices.add(session, price)
        return pb.PutPriceResponse(price=price_message(price))


@contextmanager
def _priced() -> Iterator[None]:
    """A price that is missing is ours to put."""
    try:
        yield
    except NoPrice as error:
        raise Unavailable(str(error)) from error


def _budget(user_id: str, limit: int | None) -> pb.Budget:
    return pb.Budget(user_id=user_id, limit=None if limit is None else usd(limit))


def _check_id(field: str, value: str) -> None:
    most = ID_MOST[field]
    if not (0 < len(value) <= most and "\0" not in value):
        raise InvalidInput([FieldProblem(field, f"must be 1 to {most} characters")])


def _price(sent: pb.Price, now: datetime) -> Price:
    """The row to add. Raises InvalidInput with everything that is wrong."""
    problems = [
        FieldProblem(name, f"must be at most {most} characters, without NUL")
        for name, most in TEXT_MOST.items()
        if len(getattr(sent, name)) > most or "\0" in getattr(sent, name)
    ]
    kind_name = CostKind.Name(sent.kind).removeprefix("COST_KIND_") if sent.kind in CostKind.values() else ""
    if kind_name not in set(Kind):
        problems.append(FieldProblem("kind", "must be one of " + ", ".join(Kind)))
    unit_name = (
        pb.PriceUnit.Name(sent.unit).removeprefix("PRICE_UNIT_") if sent.unit in pb.PriceUnit.values() else ""
    )
    if kind_name in set(Kind) and unit_name != UNITS[Kind(kind_name)]:
        sold = UNITS[Kind(kind_name)].value
        problems.append(FieldProblem("unit", f"{kind_name} is sold by {sold}", sold))
    valid_from = moment(sent.valid_from, now)
    if valid_from < now - BACK_DATED:
        problems.append(FieldProblem("valid_from", "must not be in the past: what is past keeps its price"))
    if not sent.source:
        problems.append(FieldProblem("source", "is required: say where the figure comes from"))
    if problems:
        raise InvalidInput(problems)
    return Price(
        id=new_id("price"),
        kind=Kind(kind_name),
        backend=sent.backend,
        model=sent.model,
        unit=Unit(unit_name),
        micros=micros("amount", sent.amount),
        valid_from=valid_from,
        source=sent.source,
    )
