"""What a job costs on each backend that may run it, and how much of that is set aside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edgecore_contracts.money import text


class State(StrEnum):
    """Of a reservation; named as the wire's ReservationState."""

    SECURED = "SECURED"
    DECLINED = "DECLINED"


@dataclass(frozen=True)
class Quote:
    """Micros: what it will probably cost, and at most."""

    backend: str
    expected: int
    upper: int


@dataclass(frozen=True)
class Decision:
    """`amount` is set aside; `quotes` are the backends it covers, the preferred first."""

    state: State
    estimate: int
    amount: int = 0
    quotes: tuple[Quote, ...] = ()
    detail: str = ""
    # For the one event only: it is no part of the answer, which is kept and given again.
    over_budget: bool = field(default=False, compare=False, repr=False)


def decide(own: Quote, providers: Sequence[Quote], max_cost: int | None, left: int | None) -> Decision:
    """Cover our own nodes, and every provider that both the caller's limit and the rest of the budget allow.

    `left` is what the month's budget still has, None without one. The dearest covered quote is set aside.
    """
    if max_cost is not None and own.upper > max_cost:
        detail = f"the job may cost {text(own.upper)} USD, which is more than max_cost {text(max_cost)}"
        return Decision(State.DECLINED, own.expected, detail=detail)
    if left is not None and own.upper > left:
        rest = text(max(left, 0))
        detail = f"the job may cost {text(own.upper)} USD, and the month's budget has {rest} left"
        return Decision(State.DECLINED, own.expected, detail=detail, over_budget=True)
    limits = [one for one in (max_cost, left) if one is not None]
    allowed = [one for one in providers if all(one.upper <= limit for limit in limits)]
    covered = (own, *allowed)
    return Decision(State.SECURED, own.expected, max(one.upper for one in covered), covered)
