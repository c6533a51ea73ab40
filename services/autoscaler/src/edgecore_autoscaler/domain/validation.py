"""Between deciding and acting: does the decision still hold against what is true right now?

A decision is made from events, which are seconds old; removing a node is the one act that hurts when it is wrong.
"""

from dataclasses import dataclass

from edgecore_autoscaler.domain import reactive
from edgecore_autoscaler.domain.decision import Decision
from edgecore_autoscaler.domain.pool import Load, PoolSpec


@dataclass(frozen=True)
class Verdict:
    """How many nodes may be acted on, and a sentence where that is not what was decided."""

    desired: int
    objection: str = ""


def revalidate(decision: Decision, spec: PoolSpec, current: int, fresh: Load | None) -> Verdict:
    """More nodes need no second look. Fewer need a scheduler that answers, and no work that came meanwhile.

    `fresh` is what the scheduler says now, None when it is away.
    """
    if decision.desired >= current:
        return Verdict(decision.desired)
    if fresh is None:
        return Verdict(current, "the scheduler is away: no node is removed without being drained")
    needed = spec.clamp(reactive.wanted(fresh, spec))
    if needed > decision.desired:
        return Verdict(min(needed, current), f"work came back meanwhile: {reactive.sentence(fresh)}")
    return Verdict(decision.desired)
