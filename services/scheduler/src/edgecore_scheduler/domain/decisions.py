"""Why a job ran where it ran, or why it waits: one look at one backend is one decision."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a look at a backend ended with; words are in scheduler.proto."""

    CHOSEN = "CHOSEN"
    SKIPPED = "SKIPPED"
    FILTERED = "FILTERED"


class Code(StrEnum):
    """The reason in one word, stable, for programs."""

    FIRST_CHOICE = "first_choice"
    FALLBACK = "fallback"
    NO_NODE = "no_node"
    NODES_BUSY = "nodes_busy"
    BREAKER_OPEN = "breaker_open"
    OVER_MAX_COST = "over_max_cost"
    NO_QUOTE = "no_quote"
    NOT_ALLOWED = "not_allowed"
    ATTEMPTS_USED = "attempts_used"
    UNSECURED = "unsecured"


@dataclass(frozen=True)
class Look:
    """One look at one backend; `node_id` is empty unless chosen."""

    backend: str
    verdict: Verdict
    code: Code
    detail: str
    node_id: str = ""


@dataclass(frozen=True)
class Decision:
    """A look worth a row: the first of its kind for this attempt. `number` grows with every decision of a job."""

    number: int
    attempt: int
    look: Look
