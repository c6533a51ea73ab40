"""What a job's owner lets us spend on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Reservation(StrEnum):
    """Whether the money for a job is set aside."""

    SECURED = "SECURED"
    PENDING = "PENDING"
    DECLINED = "DECLINED"


@dataclass(frozen=True)
class Terms:
    """Amounts are micros of USD. `quotes` is what each backend costs at most; `max_cost` None: no limit."""

    reservation: Reservation = Reservation.SECURED
    fallback: bool = False
    quotes: Mapping[str, int] = field(default_factory=dict)
    max_cost: int | None = None
