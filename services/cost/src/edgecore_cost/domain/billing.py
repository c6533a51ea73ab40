"""What an attempt, or a delivered file, adds to the ledger."""

from dataclasses import dataclass
from datetime import UTC, datetime

from edgecore_cost.domain.catalogue import Catalogue
from edgecore_cost.domain.prices import GIGABYTE, Kind, PriceBook


@dataclass(frozen=True)
class Use:
    """A finished attempt: `seconds` by stage, and what a provider bills; device or provider model in `model`."""

    backend: str
    model: str
    outcome: str
    seconds: dict[str, float]
    provider_seconds: float


@dataclass(frozen=True)
class Line:
    """A ledger line; there is one per (job, attempt, kind). `quantity` is in the price's unit."""

    job_id: str
    user_id: str
    attempt: int
    kind: Kind
    quantity: float
    amount: int
    price_id: str
    occurred_at: datetime


def attempt_line(
    catalogue: Catalogue, book: PriceBook, job_id: str, user_id: str, attempt: int, use: Use, when: datetime
) -> Line | None:
    """What the attempt bills by the catalogue's rule, None when that is nothing. Raises NoPrice."""
    kind = Kind.PROVIDER if use.backend in catalogue.providers else Kind.COMPUTE
    used = use.provider_seconds if kind is Kind.PROVIDER else compute_seconds(catalogue, use)
    quantity = used * catalogue.shares[kind, use.outcome]
    if quantity <= 0:
        return None
    price = book.find(kind, use.backend, use.model, when)
    return Line(job_id, user_id, attempt, kind, quantity, price.amount(quantity), price.id, when)


def storage_line(
    catalogue: Catalogue, book: PriceBook, job_id: str, user_id: str, attempt: int, size: int, when: datetime
) -> Line | None:
    """What keeping `size` bytes bills, for as long as the catalogue says. Raises NoPrice."""
    quantity = size / GIGABYTE * catalogue.storage_months
    if quantity <= 0:
        return None
    price = book.find(Kind.STORAGE, "", "", when)
    return Line(job_id, user_id, attempt, Kind.STORAGE, quantity, price.amount(quantity), price.id, when)


def compute_seconds(catalogue: Catalogue, use: Use) -> float:
    """Seconds of a node that count, by the catalogue's stages."""
    return sum(use.seconds.get(stage, 0.0) for stage in catalogue.stages)


def period_of(when: datetime) -> datetime:
    """The start of the calendar month, UTC."""
    return when.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def period_end(start: datetime) -> datetime:
    """The start of the month after."""
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
