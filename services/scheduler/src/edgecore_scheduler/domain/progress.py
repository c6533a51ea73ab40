"""What running jobs last said: too short-lived for the database, gone with the process, told anew each step."""

import math
from dataclasses import dataclass

from edgecore.scheduler.v1.scheduler_pb2 import Stage


@dataclass(frozen=True)
class Step:
    """`step` of `steps` done in `stage`."""

    stage: Stage.ValueType
    step: int
    steps: int

    @property
    def fraction(self) -> float:
        return self.step / self.steps if self.steps else 0.0


class Progress:
    """The last step by job id."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def note(self, job_id: str, step: Step) -> None:
        self._steps[job_id] = step

    def forget(self, job_id: str) -> None:
        self._steps.pop(job_id, None)

    def of(self, job_id: str) -> Step | None:
        return self._steps.get(job_id)


def eta_seconds(attempt_seconds: float | None, position: int, capacity: int, done: float) -> float | None:
    """Seconds until a job ends, or None when nothing is known to estimate from.

    `attempt_seconds` is what recent attempts took, `position` the place in the queue (0: running),
    `capacity` how many run at a time, `done` the running job's own fraction.
    """
    if attempt_seconds is None:
        return None
    if position == 0:
        return attempt_seconds * (1.0 - done)
    if capacity == 0:
        return None
    return attempt_seconds * (math.ceil(position / capacity) + 1)
