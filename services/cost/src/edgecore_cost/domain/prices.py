"""Prices: dated rows, of which the most specific and newest one that was valid then counts."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

GIGABYTE = 10**9


class Kind(StrEnum):
    """What was bought; named as the wire's CostKind."""

    COMPUTE = "COMPUTE"
    STORAGE = "STORAGE"
    EGRESS = "EGRESS"
    PROVIDER = "PROVIDER"


class Unit(StrEnum):
    """What the amount is for; named as the wire's PriceUnit."""

    COMPUTE_SECOND = "COMPUTE_SECOND"
    OUTPUT_SECOND = "OUTPUT_SECOND"
    GIGABYTE_MONTH = "GIGABYTE_MONTH"
    GIGABYTE = "GIGABYTE"


UNITS = {
    Kind.COMPUTE: Unit.COMPUTE_SECOND,
    Kind.PROVIDER: Unit.OUTPUT_SECOND,
    Kind.STORAGE: Unit.GIGABYTE_MONTH,
    Kind.EGRESS: Unit.GIGABYTE,
}
"""The one unit in which each kind is sold."""


class NoPrice(LookupError):
    """The catalogue says nothing about it."""


@dataclass(frozen=True)
class Price:
    """`micros` for one unit. `model` is a part of the device's or the provider model's name; empty fits any."""

    id: str
    kind: Kind
    backend: str
    model: str
    unit: Unit
    micros: int
    valid_from: datetime
    source: str

    def fits(self, kind: Kind, backend: str, model: str) -> bool:
        return self.kind is kind and self.backend in ("", backend) and _names(self.model, model)

    def amount(self, quantity: float) -> int:
        """Micros for `quantity` units, rounded half up."""
        return math.floor(self.micros * quantity + 0.5)


class PriceBook:
    """The whole catalogue."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self.prices = tuple(prices)

    def find(self, kind: Kind, backend: str, model: str, when: datetime) -> Price:
        """The price that counts; of equals the one with the later id. Raises NoPrice."""
        fitting = [one for one in self.prices if one.valid_from <= when and one.fits(kind, backend, model)]
        if not fitting:
            about = " ".join(word for word in (backend, model) if word)
            raise NoPrice(f"the catalogue has no {kind} price for {about or 'anything'} at {when.isoformat()}")
        return max(fitting, key=lambda one: (bool(one.backend), len(one.model), one.valid_from, one.id))

    def current(self, when: datetime) -> list[Price]:
        """The newest valid row of each (kind, backend, model)."""
        newest: dict[tuple[str, str, str], Price] = {}
        for one in sorted(self.prices, key=lambda price: (price.valid_from, price.id)):
            if one.valid_from <= when:
                newest[one.kind, one.backend, one.model] = one
        return list(newest.values())


def _names(part: str, model: str) -> bool:
    """Whether `part` stands in the name as whole words: A100 in A100-SXM4-80GB, but L4 not in L40S."""
    bounded = rf"(?<![a-z0-9]){re.escape(part.casefold())}(?![a-z0-9])"
    return not part or re.search(bounded, model.casefold()) is not None
