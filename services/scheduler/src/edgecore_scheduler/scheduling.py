"""What the scheduler does when something happens: one method an occurrence, each in the caller's transaction."""

from dataclasses import dataclass
from enum import Enum

from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import Artifact, Measurements
from edgecore.jobs.v1.commands_pb2 import CancelJob, GenerateVideo
from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1.scheduler_pb2 import LeaseRef
from edgecore_contracts.models import MODELS
from edgecore_contracts.states import LEASED, JobState, Reason
from edgecore_runtime import logs, telemetry
from edgecore_scheduler.adapters.jobs import Jobs
from edgecore_scheduler.adapters.leases import Lease, Leases
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.domain.progress import Progress
from edgecore_scheduler.domain.retry import RetryPolicy

log = logs.get(__name__)


class UnknownJob(LookupError):
    """A command for a job whose GenerateVideo has not come; it may come later."""


@dataclass(frozen=True)
class Report:
    """How a node says that an attempt ended."""

    outcome: AttemptOutcome.ValueType
    reason: Reason
    detail: str
    artifact: Artifact | None
    measurements: Measurements | None


class Verdict(Enum):
    """What a node is told about its report."""

    ACCEPTED = "accepted"
    REVOKED = "revoked"


class Scheduling:
    """The rules of domain/ applied to the rows of adapters/."""

    def __init__(self, jobs: Jobs, leases: Leases, retries: RetryPolicy, progress: Progress) -> None:
        self._jobs = jobs
        self._leases = leases
        self._retries = retries
        self._progress = progress

    async def accept(self, session: AsyncSession, command: GenerateVideo) -> None:
        """Put a new job into the queue; one that no model can run ends at once."""
        rules = MODELS.get(command.spec.model)
        job = Job(
            id=command.job_id,
            user_id=command.user_id,
            model=command.spec.model,
            backend=rules.backend if rules else "",
            spec=command.spec.SerializeToString(),
            trace_context=telemetry.current(),
        )
        if rules is None:
            job.move(JobState.ERROR, Reason.INVALID_SPEC, f"no model is called {command.spec.model!r}")
        else:
            job.move(JobState.QUEUED, Reason.ACCEPTED)
        if await self._jobs.add(session, job):
            log.info("job queued", job_id=job.id, model=job.model)

    async def cancel(self, session: AsyncSession, command: CancelJob) -> Lease | None:
        """Cancel a waiting job; for a running one, return the lease whose node must be told."""
        job = await self._jobs.get(session, command.job_id)
        if job is None:
            raise UnknownJob(command.job_id)
        if job.state.terminal:
            return None
        job.cancel_requested = True
        if job.state not in LEASED:
            job.move(JobState.CANCELLED, Reason.CANCELLED_BY_USER, "stopped before it started")
        await self._jobs.save(session, job)
        return await self._leases.of_job(session, job.id)

    async def waiting(self, session: AsyncSession, node: Connection) -> bool:
        """Whether a job waits that this node could take: a cheap look before a transaction."""
        return await self._jobs.any_queued(session, node.models)

    async def assign(self, session: AsyncSession, node: Connection) -> tuple[Job, Lease] | None:
        """Lease the next waiting job to a node with room; None when nothing waits for it."""
        job = await self._jobs.next_queued(session, node.models)
        if job is None:
            return None
        job.allocate(node.node_id)
        lease = await self._leases.grant(session, job)
        await self._jobs.save(session, job)
        return job, lease

    async def advance(self, session: AsyncSession, lease: Lease, state: JobState) -> Job | None:
        """Note that a lease's work reached a state; None when the lease is not valid any more."""
        job = await self._leased_job(session, lease)
        if job is not None:
            job.advance(state)
            await self._jobs.save(session, job)
        return job

    async def finish(self, session: AsyncSession, ref: LeaseRef, node_id: str, report: Report) -> Verdict:
        """Take a node's report, if the lease under which it comes is the job's valid one."""
        valid = await self._leases.find(session, ref.lease_id, ref.token, node_id)
        job = await self._leased_job(session, valid) if valid else None
        if valid is None or job is None:
            known = await self._leases.finished_with(session, ref.lease_id, node_id)
            return Verdict.ACCEPTED if known else Verdict.REVOKED
        ended = await self._leases.end(
            session, valid, job, report.outcome, report.reason, report.detail, report.measurements
        )
        if not ended:
            return Verdict.REVOKED
        pause = 0.0
        if report.outcome == AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED:
            job.deliver()
        else:
            pause = self._retries.fail(job, report.reason, report.detail)
        await self._jobs.save(session, job, pause, report.artifact)
        self._progress.forget(job.id)
        log.info("attempt ended", job_id=job.id, attempt=valid.token, state=job.state, reason=report.reason)
        return Verdict.ACCEPTED

    async def lose(self, session: AsyncSession, lease: Lease, detail: str, only_expired: bool) -> bool:
        """End a lease whose node is gone, and give its job to another; False if it turned out to be well."""
        job = await self._leased_job(session, lease)
        if job is None:
            return False
        lost = AttemptOutcome.ATTEMPT_OUTCOME_LOST
        reason = Reason.NODE_LOST
        if not await self._leases.end(session, lease, job, lost, reason, detail, only_expired=only_expired):
            return False
        pause = self._retries.fail(job, reason, detail)
        await self._jobs.save(session, job, pause)
        self._progress.forget(job.id)
        log.warning("lease lost", job_id=job.id, attempt=lease.token, node_id=lease.node_id, detail=detail)
        return True

    async def _leased_job(self, session: AsyncSession, lease: Lease) -> Job | None:
        """The lease's job, locked, if this lease is still the one it runs under."""
        job = await self._jobs.get(session, lease.job_id)
        if job is None or job.state not in LEASED or job.attempt != lease.token:
            return None
        return job
