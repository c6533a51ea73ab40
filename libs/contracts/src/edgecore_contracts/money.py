"""Money: whole millionths of a dollar in code and contracts, a string with 6 decimals in the HTTP API."""

from edgecore.common.v1.common_pb2 import Money

CURRENCY = "USD"
MICROS = 1_000_000


def usd(micros: int) -> Money:
    """An amount as the contracts carry it."""
    return Money(micros=micros, currency=CURRENCY)


def text(micros: int) -> str:
    """`1.250000`; negative amounts have a leading minus."""
    sign = "-" if micros < 0 else ""
    whole, rest = divmod(abs(micros), MICROS)
    return f"{sign}{whole}.{rest:06d}"
