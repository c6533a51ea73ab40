"""The domain's values as the contracts carry them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from edgecore.common.v1.common_pb2 import Money
from edgecore.cost.v1 import cost_pb2 as pb
from edgecore.cost.v1.events_pb2 import CostKind, CostPosted, ReservationDecided
from edgecore.jobs.v1.commands_pb2 import BackendQuote, ReservationState
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_contracts.money import CURRENCY, usd
from edgecore_cost.adapters.reservations import Reservation
from edgecore_cost.domain.billing import Line
from edgecore_cost.domain.estimate import Candidate
from edgecore_cost.domain.prices import Price
from edgecore_cost.domain.quotes import Quote, State


def cost_posted(line: Line) -> CostPosted:
    return CostPosted(
        job_id=line.job_id,
        user_id=line.user_id,
        attempt=line.attempt,
        kind=CostKind.Value(f"COST_KIND_{line.kind}"),
        amount=usd(line.amount),
        price_id=line.price_id,
        quantity=line.quantity,
        occurred_at=timestamp(line.occurred_at),
    )


def reservation_decided(reservation: Reservation, when: datetime) -> ReservationDecided:
    decision = reservation.decision
    return ReservationDecided(
        job_id=reservation.job_id,
        user_id=reservation.user_id,
        state=reservation_state(decision.state),
        amount=usd(decision.amount),
        quotes=backend_quotes(decision.quotes),
        detail=decision.detail,
        estimate=usd(decision.estimate),
        occurred_at=timestamp(when),
    )


def reserve_response(reservation: Reservation) -> pb.ReserveResponse:
    decision = reservation.decision
    return pb.ReserveResponse(
        state=reservation_state(decision.state),
        estimate=usd(decision.estimate),
        amount=usd(decision.amount),
        quotes=backend_quotes(decision.quotes),
        detail=decision.detail,
    )


def reservation_state(state: State) -> ReservationState.ValueType:
    return ReservationState.Value(f"RESERVATION_STATE_{state}")


def backend_quotes(quotes: Sequence[Quote]) -> list[BackendQuote]:
    return [BackendQuote(backend=one.backend, upper_bound=usd(one.upper)) for one in quotes]


def candidate_message(candidate: Candidate) -> pb.Candidate:
    message = pb.Candidate(
        backend=candidate.backend,
        model=candidate.model,
        amount=usd(candidate.amount),
        low=usd(candidate.low),
        high=usd(candidate.high),
        price_id=candidate.price_id,
        available=candidate.available,
        detail=candidate.detail,
    )
    if candidate.eta_seconds is not None:
        message.eta.FromMilliseconds(round(candidate.eta_seconds * 1000))
    return message


def price_message(price: Price) -> pb.Price:
    return pb.Price(
        price_id=price.id,
        kind=CostKind.Value(f"COST_KIND_{price.kind}"),
        backend=price.backend,
        model=price.model,
        unit=pb.PriceUnit.Value(f"PRICE_UNIT_{price.unit}"),
        amount=usd(price.micros),
        valid_from=timestamp(price.valid_from),
        source=price.source,
    )


def micros(field: str, money: Money) -> int:
    """Raises InvalidInput for another currency, or less than nothing."""
    if money.currency not in ("", CURRENCY):
        raise InvalidInput([FieldProblem(field, f"must be in {CURRENCY}", CURRENCY)])
    if money.micros < 0:
        raise InvalidInput([FieldProblem(field, "must not be negative", 0)])
    return money.micros


def moment(stamp: Timestamp, otherwise: datetime) -> datetime:
    """A time from the wire; `otherwise` where none was sent."""
    return stamp.ToDatetime(UTC) if stamp.seconds else otherwise
