"""How an attempt failed: from an exception in the engine, or from its end, to a reason and a sentence."""

import errno
import signal
from enum import StrEnum

from edgecore_contracts.states import Reason

DETAIL_MAX = 500
"""Characters of detail that travel to the scheduler."""

OUT_OF_MEMORY_TYPES = frozenset({"OutOfMemoryError", "AcceleratorError"})
OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory")
STORAGE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENOENT})


class FailureKind(StrEnum):
    """What the engine can say about its failure."""

    INVALID_REQUEST = "invalid_request"
    OUT_OF_MEMORY = "out_of_memory"
    STORAGE = "storage"
    UNREADABLE = "unreadable"
    ERROR = "error"


REASONS = {
    FailureKind.INVALID_REQUEST: Reason.INVALID_SPEC,
    FailureKind.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    FailureKind.STORAGE: Reason.STORAGE,
    FailureKind.UNREADABLE: Reason.QUALITY,
    FailureKind.ERROR: Reason.ENGINE_FAILED,
}


class AttemptFailed(Exception):
    """The attempt is over without a video; `reason` is the contract's, `detail` is for a person."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:DETAIL_MAX]


def engine_said(kind: FailureKind, detail: str) -> AttemptFailed:
    """The engine reported a failure and lives on."""
    return AttemptFailed(REASONS[kind], detail)


def engine_ended(exit_code: int) -> AttemptFailed:
    """The engine process ended during the attempt; negative codes are signals."""
    return AttemptFailed(Reason.ENGINE_FAILED, f"the engine {describe_exit(exit_code)}")


def describe_exit(exit_code: int) -> str:
    """`exited with code 1`, or `was ended by SIGKILL`."""
    if exit_code >= 0:
        return f"exited with code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"


def kind_of(error: Exception) -> FailureKind:
    """Classify an exception inside the engine, without importing torch."""
    named = type(error).__name__ in OUT_OF_MEMORY_TYPES or isinstance(error, RuntimeError)
    if isinstance(error, MemoryError) or (named and _speaks_of_memory(error)):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in STORAGE_ERRNOS:
        return FailureKind.STORAGE
    return FailureKind.ERROR


def _speaks_of_memory(error: Exception) -> bool:
    words = str(error).lower()
    return any(phrase in words for phrase in OUT_OF_MEMORY_WORDS)
