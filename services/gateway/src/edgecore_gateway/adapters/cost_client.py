"""Questions to cost. A job never waits for it: while it is away, reservations are pending."""

from collections.abc import Awaitable
from typing import TypeVar

import grpc

from edgecore.cost.v1 import cost_pb2 as pb
from edgecore.cost.v1 import cost_pb2_grpc
from edgecore_contracts.errors import FieldProblem, InvalidInput, Unavailable
from edgecore_contracts.money import usd
from edgecore_gateway.domain.costs import Reservation, ReservationState
from edgecore_gateway.domain.spec import JobSpec
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock
from edgecore_runtime.grpc_client import Peer

CALL_SECONDS = 3.0
AWAY_SECONDS = 1.0
"""After a failed reservation nobody asks for so long: jobs must not wait for a service that is away."""

Answer = TypeVar("Answer")

log = logs.get(__name__)


class CostClient(Peer):
    """One channel to cost; without an address nothing is reserved and every question is answered Unavailable."""

    def __init__(self, address: str, clock: Clock, reserve_timeout: float) -> None:
        super().__init__(address)
        self._clock = clock
        self._reserve_timeout = reserve_timeout
        self._away_until = 0.0

    async def reserve(self, job_id: str, user_id: str, spec: JobSpec) -> Reservation:
        """Money for a job, once a job; PENDING while cost is away, NONE where there is none."""
        if self._channel is None:
            return Reservation(ReservationState.NONE)
        if self._clock.monotonic() < self._away_until:
            return Reservation(ReservationState.PENDING)
        request = pb.ReserveRequest(
            job_id=job_id,
            user_id=user_id,
            spec=spec.to_proto(),
            fallback=spec.fallback,
            max_cost=None if spec.max_cost is None else usd(spec.max_cost),
        )
        try:
            stub = cost_pb2_grpc.CostServiceStub(self._channel)
            answer: pb.ReserveResponse = await stub.Reserve(request, timeout=self._reserve_timeout)
            state = ReservationState.from_proto(answer.state)
        except (grpc.aio.AioRpcError, ValueError) as error:
            log.warning("no reservation yet", job_id=job_id, error=repr(error))
            self._away_until = self._clock.monotonic() + AWAY_SECONDS
            return Reservation(ReservationState.PENDING)
        return Reservation(state, answer.estimate.micros, tuple(answer.quotes), answer.detail)

    async def estimate(self, user_id: str, spec: JobSpec) -> pb.EstimateResponse:
        """What the job would cost everywhere. Raises Unavailable, InvalidInput."""
        request = pb.EstimateRequest(user_id=user_id, spec=spec.to_proto())
        return await _answered(self._stub().Estimate(request, timeout=CALL_SECONDS))

    async def budget(self, user_id: str) -> int | None:
        """The user's monthly limit in micros, None when unlimited. Raises Unavailable."""
        request = pb.GetBudgetRequest(user_id=user_id)
        return _limit((await _answered(self._stub().GetBudget(request, timeout=CALL_SECONDS))).budget)

    async def put_budget(self, user_id: str, monthly: int | None) -> int | None:
        """Set it. Raises Unavailable, InvalidInput."""
        budget = pb.Budget(user_id=user_id, limit=None if monthly is None else usd(monthly))
        request = pb.PutBudgetRequest(budget=budget)
        return _limit((await _answered(self._stub().PutBudget(request, timeout=CALL_SECONDS))).budget)

    def _stub(self) -> "cost_pb2_grpc.CostServiceAsyncStub":
        if self._channel is None:
            raise Unavailable("this deployment has no cost service")
        return cost_pb2_grpc.CostServiceStub(self._channel)


async def _answered(call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            field, _, rule = (error.details() or "").partition(": ")
            raise InvalidInput([FieldProblem(field, rule)]) from error
        log.warning("cost did not answer", status=error.code().name, detail=error.details())
        raise Unavailable("cost is away or too slow; try again later") from error


def _limit(budget: pb.Budget) -> int | None:
    return budget.limit.micros if budget.HasField("limit") else None
