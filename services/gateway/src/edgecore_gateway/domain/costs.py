"""What a job costs: estimated when it was accepted, then line by line as it is billed. Amounts are micros."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from edgecore.common.v1.common_pb2 import Money
from edgecore.cost.v1.events_pb2 import CostKind, CostPosted, ReservationDecided
from edgecore.jobs.v1 import commands_pb2
from edgecore.jobs.v1.commands_pb2 import BackendQuote
from edgecore_contracts.money import text
from edgecore_gateway.domain.job import Job, moment
from edgecore_gateway.domain.projection import Unreadable


class ReservationState(StrEnum):
    """Whether money is set aside for a job; `none` where no cost service is asked."""

    NONE = "none"
    SECURED = "secured"
    PENDING = "pending"
    DECLINED = "declined"

    def to_proto(self) -> commands_pb2.ReservationState.ValueType:
        name = "UNSPECIFIED" if self is ReservationState.NONE else self.name
        return commands_pb2.ReservationState.Value(f"RESERVATION_STATE_{name}")

    @classmethod
    def from_proto(cls, value: int) -> "ReservationState":
        """Raises ValueError for a state that is not known here."""
        name = commands_pb2.ReservationState.Name(value).removeprefix("RESERVATION_STATE_")  # type: ignore[arg-type]
        return cls.NONE if name == "UNSPECIFIED" else cls[name]


@dataclass(frozen=True)
class Reservation:
    """Cost's answer when a job is accepted; `detail` is a sentence when it is declined."""

    state: ReservationState
    estimate: int | None = None
    quotes: tuple[BackendQuote, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class CostLine:
    """One line of the ledger; there is one per (job, attempt, kind). `quantity` is in the price's unit."""

    job_id: str
    attempt: int
    kind: str
    amount: int
    quantity: float
    price_id: str
    occurred_at: datetime


@dataclass(frozen=True)
class ReservationChange:
    """A reservation that was pending is decided."""

    job_id: str
    state: ReservationState
    estimate: int | None


def cost_line(message: CostPosted, sent_at: datetime) -> CostLine:
    """Read the message; `sent_at` stands in for a missing time. Raises Unreadable."""
    if message.kind not in CostKind.values() or message.kind == CostKind.COST_KIND_UNSPECIFIED:
        raise Unreadable(f"a cost of {message.job_id!r} of the unknown kind {message.kind}")
    return CostLine(
        job_id=message.job_id,
        attempt=message.attempt,
        kind=CostKind.Name(message.kind).removeprefix("COST_KIND_").lower(),
        amount=message.amount.micros,
        quantity=message.quantity,
        price_id=message.price_id,
        occurred_at=message.occurred_at.ToDatetime(UTC) if message.occurred_at.seconds else sent_at,
    )


def reservation_change(message: ReservationDecided) -> ReservationChange:
    """Read the message. Raises Unreadable."""
    try:
        state = ReservationState.from_proto(message.state)
    except ValueError as error:
        raise Unreadable(f"a reservation of {message.job_id!r} in an unknown state") from error
    estimate = message.estimate.micros if message.HasField("estimate") else None
    return ReservationChange(message.job_id, state, estimate)


def job_cost(job: Job, lines: Sequence[CostLine]) -> dict[str, Any]:
    """The cost object of the API."""
    return {
        "estimated": amount_text(job.cost_estimated),
        # Of these very lines: another may have come since the job was read.
        "actual": amount_text(sum(one.amount for one in lines) if lines else None),
        "reservation": job.reservation,
        "lines": [_line(one) for one in lines],
    }


def amount_text(micros: int | None) -> str | None:
    return None if micros is None else text(micros)


def money_text(money: Money) -> str:
    return text(money.micros)


def _line(line: CostLine) -> dict[str, Any]:
    return {
        "attempt": line.attempt,
        "kind": line.kind,
        "amount": text(line.amount),
        "quantity": line.quantity,
        "price_id": line.price_id,
        "occurred_at": moment(line.occurred_at),
    }
