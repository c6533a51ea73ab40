"""Paid providers, each through its official package, all behind one protocol.

    submit → look, look, … → a link to the video        cancel at any time

Three errors, each with one meaning:
    Refused   the provider's own verdict: nothing was or will be made, another may be asked
    Unclear   it may be making it, and billing for it: nobody else may be asked
    Away      a question without an answer: ask again
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import httpx

from edgecore_inference.domain.offers import Offer, Order

SUBMIT_SECONDS = 30.0
LOOK_SECONDS = 15.0
"""Time-outs of one request each; packages retry nothing by themselves."""

UNCLEAR_STATUSES = frozenset({408, 502, 504})
"""Answers of something in between, after which the order may still have arrived."""


class Refused(Exception):
    """Nothing is made."""


class Unclear(Exception):
    """It may be made."""


class Away(Exception):
    """Nobody knows at the moment."""


class TaskState(StrEnum):
    """Where an ordered video is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        return self in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)


@dataclass(frozen=True)
class Look:
    """An answer: `fraction` done, 0 to 1; `url` when it succeeded, `detail` when it failed."""

    state: TaskState
    fraction: float = 0.0
    url: str = ""
    detail: str = ""


class Provider(Protocol):
    """One account at one provider, for one of its models."""

    @property
    def model(self) -> str:
        """The provider's own name of what it runs."""

    @property
    def offer(self) -> Offer:
        """What can be ordered."""

    async def submit(self, order: Order) -> str:
        """Order it, once; returns the task's id. Raises Refused or Unclear."""

    async def look(self, task: str) -> Look:
        """Where it is. Raises Away."""

    async def cancel(self, task: str) -> None:
        """Ask for its end; what has ended stays as it is. Raises Away."""

    async def close(self) -> None:
        """Close connections."""


def not_sent(error: BaseException) -> bool:
    """Whether a request failed before anything of it left: no connection was made."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def submit_failed(error: Exception, status: int | None) -> Refused | Unclear:
    """What a failed submit means; `status` is the HTTP answer's, None when there was none."""
    words = f"{type(error).__name__}: {error}"[:300]
    if status is None:
        return Refused(f"not reached: {words}") if not_sent(error) else Unclear(f"no answer to the order: {words}")
    if status in UNCLEAR_STATUSES:
        return Unclear(f"HTTP {status} to the order: {words}")
    return Refused(f"HTTP {status}: {words}")
