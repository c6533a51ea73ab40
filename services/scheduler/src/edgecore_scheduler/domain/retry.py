"""What happens to a job whose attempt did not succeed."""

import random
from dataclasses import dataclass

from edgecore_contracts.states import PERMANENT, JobState, Reason
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.terms import Reservation

NOT_THE_JOBS_FAULT = frozenset({Reason.NODE_DRAINED})
"""Reasons that use up none of a job's attempts."""

NOT_THE_BACKENDS_FAULT = NOT_THE_JOBS_FAULT | {Reason.STORAGE}
"""Reasons for which another backend would be no better."""

AT_ONCE = frozenset({Reason.NODE_LOST, Reason.NODE_DRAINED})
"""Reasons that say nothing about the next node: no pause is needed."""

LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class RetryPolicy:
    """`attempt_limit` failures end a job; the pause before a retry doubles from `first_pause` seconds."""

    attempt_limit: int
    first_pause: float

    def fail(self, job: Job, reason: Reason, detail: str) -> float:
        """Move a leased job back into the queue or to its end; returns the pause in seconds before a retry."""
        if job.cancel_requested:
            job.move(JobState.CANCELLED, Reason.CANCELLED_BY_USER, "stopped at its owner's wish")
            return 0.0
        if reason not in NOT_THE_JOBS_FAULT:
            job.failures += 1
        if reason not in NOT_THE_BACKENDS_FAULT:
            job.backend_failures[job.backend] = job.backend_failures.get(job.backend, 0) + 1
        if reason in PERMANENT or job.failures >= self.attempt_limit:
            job.move(JobState.ERROR, reason, detail or f"gave up after {job.failures} failed attempts")
            return 0.0
        if job.terms.reservation is Reservation.DECLINED:
            job.move(JobState.ERROR, Reason.BUDGET_EXHAUSTED, "the budget covers no further attempt")
            return 0.0
        job.move(JobState.QUEUED, reason, detail)
        return 0.0 if reason in AT_ONCE else self._pause(job.failures)

    def _pause(self, failures: int) -> float:
        longest: float = min(LONGEST_PAUSE, self.first_pause * 2 ** (failures - 1))
        return longest * random.uniform(0.5, 1.0)
