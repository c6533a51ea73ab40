"""What can go wrong, each with one meaning for the caller.

AiprodError
├── InvalidRequest    the caller's request breaks a rule; change the request
├── CheckpointError   the model's files are not what they say; replace the files
├── TrainingError     a file that training reads cannot be used; mend the file or name another
└── Cancelled         the caller asked to stop; nothing was made
"""

from __future__ import annotations

from typing import Any


class AiprodError(Exception):
    """The root of this library's errors."""


class InvalidRequest(AiprodError, ValueError):
    """One field of a request breaks a rule. `nearest` is the closest valid value, None if there is none."""

    def __init__(self, field: str, rule: str, value: Any, nearest: Any = None) -> None:
        self.field, self.rule, self.value, self.nearest = field, rule, value, nearest
        hint = "" if nearest is None else f"; the nearest valid value is {nearest}"
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
        super().__init__(f"{field}: {rule}, not {shown}{hint}")


class CheckpointError(AiprodError):
    """A checkpoint folder cannot be loaded. `file` and, where it is one tensor's fault, `tensor` say what is
    wrong.
    """

    def __init__(self, file: str, problem: str, tensor: str | None = None) -> None:
        self.file, self.tensor, self.problem = file, tensor, problem
        super().__init__(f"{file}: {problem}" if tensor is None else f"{file}: tensor {tensor}: {problem}")


class TrainingError(AiprodError, ValueError):
    """A configuration, a run's state or a data set cannot be used. `problems` are all that was found in
    `file`.
    """

    def __init__(self, file: str, *problems: str) -> None:
        self.file, self.problems = file, problems
        if len(problems) == 1:
            super().__init__(f"{file}: {problems[0]}")
        else:
            super().__init__("\n  ".join([f"{file}: {len(problems)} problems", *problems]))


class Cancelled(AiprodError):
    """Stopped between two steps because `should_stop` said so. `step` is the number of finished steps."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"cancelled after {step} steps")
