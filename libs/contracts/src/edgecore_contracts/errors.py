"""Typed errors that may cross an edge, with their HTTP status; statuses.py maps them to gRPC.

EdgecoreError
├── InvalidInput        the caller's value breaks a rule; names field, rule and what would be accepted
├── Unauthenticated     no valid key
├── BudgetExhausted     the money set aside for the user does not cover it
├── Forbidden           a valid key without the right
├── NotFound            unknown, or another tenant's
├── Conflict            the object's state does not allow it
├── PayloadTooLarge     the body is over the limit
├── ResourceExhausted   over a rate, a quota or a bound
├── DeadlineExceeded    it took longer than allowed
├── Unavailable         a part this call needs is away; trying again may help
└── Internal            a bug of ours
"""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldProblem:
    """One broken rule: which field, which rule, what would be accepted."""

    field: str
    rule: str
    nearest: Any = None

    def as_dict(self) -> dict[str, Any]:
        problem = {"field": self.field, "rule": self.rule}
        return problem if self.nearest is None else problem | {"nearest": self.nearest}


class EdgecoreError(Exception):
    """Base of all errors that may cross an edge. `code` is stable and machine-readable."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    http_status: ClassVar[int] = 500

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidInput(EdgecoreError):
    code, title, http_status = "invalid_input", "Invalid input", 422

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.rule}" for problem in problems))
        self.problems = problems


class Unauthenticated(EdgecoreError):
    code, title, http_status = "unauthenticated", "Authentication required", 401


class BudgetExhausted(EdgecoreError):
    code, title, http_status = "budget_exhausted", "Budget exhausted", 402


class Forbidden(EdgecoreError):
    code, title, http_status = "forbidden", "Not allowed", 403


class NotFound(EdgecoreError):
    code, title, http_status = "not_found", "Not found", 404


class Conflict(EdgecoreError):
    code, title, http_status = "conflict", "Conflict with the object's state", 409


class PayloadTooLarge(EdgecoreError):
    code, title, http_status = "payload_too_large", "Payload too large", 413


class ResourceExhausted(EdgecoreError):
    code, title, http_status = "resource_exhausted", "Limit reached", 429


class DeadlineExceeded(EdgecoreError):
    code, title, http_status = "deadline_exceeded", "It took too long", 504


class Unavailable(EdgecoreError):
    code, title, http_status = "unavailable", "Temporarily unavailable", 503


class Internal(EdgecoreError):
    pass
