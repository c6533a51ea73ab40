"""What the API says of money, as plain values. Amounts are decimal US dollars with 6 places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """One way to make a video; `low` to `high` is the 90 % interval, `eta_seconds` None when unknown."""

    backend: str
    model: str
    amount: Decimal
    low: Decimal
    high: Decimal
    eta_seconds: float | None
    available: bool
    detail: str

    @classmethod
    def parse(cls, body: Json) -> Candidate:
        return cls(
            backend=str(body["backend"]),
            model=str(body["model"]),
            amount=Decimal(body["amount"]),
            low=Decimal(body["low"]),
            high=Decimal(body["high"]),
            eta_seconds=body.get("eta_seconds"),
            available=bool(body["available"]),
            detail=str(body.get("detail") or ""),
        )


@dataclass(frozen=True)
class Estimate:
    """The candidates; `recommended` is one of them, or None when no backend can make the video."""

    candidates: tuple[Candidate, ...]
    recommended: Candidate | None
    reason: str

    @classmethod
    def parse(cls, body: Json) -> Estimate:
        candidates = tuple(Candidate.parse(one) for one in body["candidates"])
        wanted = body.get("recommended") or {}
        name = (wanted.get("backend"), wanted.get("model"))
        found = next((one for one in candidates if (one.backend, one.model) == name), None)
        return cls(candidates, found, str(wanted.get("reason") or ""))


@dataclass(frozen=True)
class CostLine:
    """One line of the ledger: `quantity` of what the price `price_id` is for."""

    attempt: int
    kind: str
    amount: Decimal
    quantity: float
    price_id: str


@dataclass(frozen=True)
class JobCost:
    """`estimated` and `actual` are None while they are not known; `reservation` is a word."""

    estimated: Decimal | None
    actual: Decimal | None
    reservation: str
    lines: tuple[CostLine, ...]

    @classmethod
    def parse(cls, body: Json) -> JobCost:
        lines = tuple(
            CostLine(
                attempt=int(line["attempt"]),
                kind=str(line["kind"]),
                amount=Decimal(line["amount"]),
                quantity=float(line["quantity"]),
                price_id=str(line["price_id"]),
            )
            for line in body["lines"]
        )
        return cls(amount(body.get("estimated")), amount(body.get("actual")), str(body["reservation"]), lines)


def amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
