"""The catalogue's other data: what an attempt bills by how it ended, and what providers offer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgecore_cost.domain.prices import Kind, Price, Unit

OUTCOMES = ("SUCCEEDED", "FAILED", "CANCELLED", "LOST")


@dataclass(frozen=True)
class Offer:
    """What a provider's model makes of a text prompt: one of `seconds` long, at `size`."""

    backend: str
    model: str
    seconds: tuple[float, ...]
    size: str
    eta_seconds: float
    needs: str
    quoted: bool

    def billed(self, wanted: float) -> float:
        """Seconds that are made and billed for `wanted`: the shortest that holds it, else the longest there is."""
        return min((one for one in self.seconds if one >= wanted - 1e-9), default=max(self.seconds))


@dataclass(frozen=True)
class Catalogue:
    """`shares` is what part of its use an attempt bills, by kind and outcome."""

    prices: tuple[Price, ...]
    shares: Mapping[tuple[Kind, str], float]
    stages: tuple[str, ...]
    storage_months: float
    bytes_per_pixel: float
    offers: tuple[Offer, ...]

    @property
    def providers(self) -> frozenset[str]:
        """Backends that are paid providers and not nodes of our own."""
        return frozenset(offer.backend for offer in self.offers)

    def quoted_offer(self, backend: str, model: str | None) -> Offer | None:
        """What our node orders at a provider: `model` where one is set, else the catalogue's choice."""
        offers = [one for one in self.offers if one.backend == backend]
        return next((one for one in offers if (one.model == model if model else one.quoted)), None)


def parse(data: Mapping[str, Any]) -> Catalogue:
    """Read the catalogue file's content. Raises KeyError, TypeError or ValueError on what is not one."""
    billing = data["billing"]
    shares = {
        (kind, outcome): _share(billing[kind.lower()][outcome])
        for kind in (Kind.COMPUTE, Kind.PROVIDER)
        for outcome in OUTCOMES
    }
    return Catalogue(
        prices=tuple(_price(row) for row in data["prices"]),
        shares=shares,
        stages=tuple(billing["compute"]["stages"]),
        storage_months=float(billing["storage"]["months"]),
        bytes_per_pixel=float(billing["storage"]["estimated_bytes_per_pixel"]),
        offers=tuple(_offer(row) for row in data["offers"]),
    )


def _price(row: Mapping[str, Any]) -> Price:
    return Price(
        id=row["id"],
        kind=Kind(row["kind"]),
        backend=row["backend"],
        model=row["model"],
        unit=Unit(row["unit"]),
        micros=int(row["micros"]),
        valid_from=row["valid_from"],
        source=row["source"],
    )


def _offer(row: Mapping[str, Any]) -> Offer:
    return Offer(
        backend=row["backend"],
        model=row["model"],
        seconds=tuple(float(one) for one in row["seconds"]),
        size=row["size"],
        eta_seconds=float(row["eta_seconds"]),
        needs=row.get("needs", ""),
        quoted=bool(row.get("quoted", False)),
    )


def _share(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"a billed share must be from 0 to 1, got {value}")
    return float(value)
