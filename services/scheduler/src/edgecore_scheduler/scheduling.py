"""What the scheduler does when something happens: one method an occurrence, each in the caller's transaction."""

from dataclasses import dataclass, replace
from enum import Enum

from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import Artifact, Measurements
from edgecore.cost.v1.events_pb2 import ReservationDecided
from edgecore.jobs.v1.commands_pb2 import CancelJob, GenerateVideo, ReservationState
from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1.scheduler_pb2 import LeaseRef
from edgecore_contracts.models import MODELS
from edgecore_contracts.states import LEASED, JobState, Reason
from edgecore_runtime import logs, telemetry
from edgecore_scheduler.adapters.jobs import Jobs
from edgecore_scheduler.adapters.leases import Lease, Leases
from edgecore_scheduler.adapters.reservations import Reservations
from edgecore_scheduler.domain.chain import Chain, Plan
from edgecore_scheduler.domain.decisions import Code, Look, Verdict
from edgecore_scheduler.domain.fleet import Fleet
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.domain.progress import Progress
from edgecore_scheduler.domain.retry import RetryPolicy
from edgecore_scheduler.domain.terms import Reservation, Terms

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
    other_artifacts: tuple[Artifact, ...] = ()


class Answer(Enum):
    """What a node is told about its report."""

    ACCEPTED = "accepted"
    REVOKED = "revoked"


class Scheduling:
    """The rules of domain/ applied to the rows of adapters/."""

    def __init__(
        self,
        jobs: Jobs,
        leases: Leases,
        reservations: Reservations,
        chain: Chain,
        fleet: Fleet,
        retries: RetryPolicy,
        progress: Progress,
    ) -> None:
        self._jobs = jobs
        self._leases = leases
        self._reservations = reservations
        self._chain = chain
        self._fleet = fleet
        self._retries = retries
        self._progress = progress

    async def accept(self, session: AsyncSession, command: GenerateVideo) -> None:
        """Put a new job into the queue; one that no model can run, or nobody can pay, ends at once."""
        rules = MODELS.get(command.spec.model)
        job = Job(
            id=command.job_id,
            user_id=command.user_id,
            model=command.spec.model,
            backend=rules.backend if rules else "",
            spec=command.spec.SerializeToString(),
            trace_context=telemetry.current(),
            terms=terms_of(command),
        )
        if job.terms.reservation is Reservation.PENDING:
            await self._hold(session, job)
        if rules is None:
            job.move(JobState.ERROR, Reason.INVALID_SPEC, f"no model is called {command.spec.model!r}")
        elif job.terms.reservation is Reservation.DECLINED:
            job.move(JobState.ERROR, Reason.BUDGET_EXHAUSTED, "the budget does not cover it")
        else:
            job.move(JobState.QUEUED, Reason.ACCEPTED)
            self._place(job)
        if await self._jobs.add(session, job):
            log.info("job queued", job_id=job.id, model=job.model)

    async def decide(self, session: AsyncSession, decided: ReservationDecided) -> None:
        """Cost is back and has decided: free a job that waited for its money, or end it.

        A job that runs already finishes; what it used is cost's to settle. Raises ValueError for a decision that
        is neither.
        """
        reservation = reservation_of(decided.state)
        if reservation is Reservation.PENDING:
            raise ValueError("a decided reservation is secured or declined")
        quotes = {quote.backend: quote.upper_bound.micros for quote in decided.quotes}
        await self._reservations.lock(session, decided.user_id)
        job = await self._jobs.get(session, decided.job_id)
        if job is None:
            await self._reservations.keep(session, decided.job_id, reservation, quotes)
            return
        if job.terms.reservation is not Reservation.PENDING:
            return
        job.terms = replace(job.terms, reservation=reservation, quotes=quotes or job.terms.quotes)
        if job.state is JobState.QUEUED:
            job.held = False
            if reservation is Reservation.DECLINED:
                job.move(JobState.ERROR, Reason.BUDGET_EXHAUSTED, decided.detail or "the budget does not cover it")
            else:
                self._place(job)
        await self._jobs.save(session, job)
        await self._reservations.admit(session, job.user_id)

    async def cancel(self, session: AsyncSession, command: CancelJob) -> Lease | None:
        """Cancel a waiting job; for a running one, return the lease whose node must be told."""
        known = await self._jobs.peek(session, command.job_id)
        unsecured = known is not None and known.terms.reservation is Reservation.PENDING
        if unsecured:
            await self._reservations.lock(session, command.user_id)
        job = await self._jobs.get(session, command.job_id)
        if job is None:
            raise UnknownJob(command.job_id)
        if job.state.terminal:
            return None
        job.cancel_requested = True
        if job.state not in LEASED:
            job.move(JobState.CANCELLED, Reason.CANCELLED_BY_USER, "stopped before it started")
        await self._jobs.save(session, job)
        if unsecured:
            await self._reservations.admit(session, job.user_id)
        return await self._leases.of_job(session, job.id)

    async def waiting(self, session: AsyncSession, node: Connection) -> bool:
        """Whether a job waits that this node could take: a cheap look before a transaction."""
        return await self._jobs.any_queued(session, node.backend, self._models(node), node.node_id)

    async def assign(self, session: AsyncSession, node: Connection) -> tuple[Job, Lease] | None:
        """Lease the next waiting job to a node with room; None when nothing waits for it."""
        job = await self._jobs.next_queued(session, node.backend, self._models(node), node.node_id)
        if job is None:
            return None
        breaker = self._fleet.breakers.get(node.backend)
        if breaker is not None and not breaker.lets_through:
            return None
        if breaker is not None and not job.bound and self._chain.refusal(job, node.backend):
            # What it may cost, or who may be paid, changed since it was placed here.
            self._place(job)
            await self._jobs.save(session, job)
            return None
        job.allocate(self._chain.choose(job, _own(job), node.node_id))
        lease = await self._leases.grant(session, job)
        await self._jobs.save(session, job)
        return job, lease

    def would_move(self, job: Job) -> bool:
        """Whether another look at a waiting job would change anything."""
        if self._chain.overdue(job):
            return True
        plan = self._plan(job)
        return plan.backend != job.backend or any(job.is_news(look) for look in plan.looks)

    async def look_again(self, session: AsyncSession, job_id: str) -> None:
        """Move a waiting job along its chain, if that is called for."""
        job = await self._jobs.get(session, job_id)
        if job is not None and job.state is JobState.QUEUED and self.would_move(job):
            before = job.backend
            if self._chain.overdue(job):
                detail = f"{job.bound} did not come back to say what became of its order"
                job.move(JobState.ERROR, Reason.PROVIDER_UNCLEAR, detail)
            else:
                self._place(job)
            await self._jobs.save(session, job)
            if job.backend != before:
                log.info("job waits elsewhere", job_id=job.id, before=before, backend=job.backend)

    async def advance(self, session: AsyncSession, lease: Lease, state: JobState) -> Job | None:
        """Note that a lease's work reached a state; None when the lease is not valid any more."""
        job = await self._leased_job(session, lease)
        if job is not None:
            job.advance(state)
            await self._jobs.save(session, job)
        return job

    async def finish(self, session: AsyncSession, ref: LeaseRef, node_id: str, report: Report) -> Answer:
        """Take a node's report, if the lease under which it comes is the job's valid one."""
        valid = await self._leases.find(session, ref.lease_id, ref.token, node_id)
        job = await self._leased_job(session, valid) if valid else None
        if valid is None or job is None:
            known = await self._leases.finished_with(session, ref.lease_id, node_id)
            return Answer.ACCEPTED if known else Answer.REVOKED
        ended = await self._leases.end(
            session, valid, job, report.outcome, report.reason, report.detail, report.measurements
        )
        if not ended:
            return Answer.REVOKED
        succeeded = report.outcome == AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED
        self._judge(job, valid, Reason.COMPLETED if succeeded else report.reason)
        pause = None
        if succeeded:
            job.deliver()
        else:
            pause = self._fail(job, valid, report.reason, report.detail)
        await self._jobs.save(session, job, pause, report.artifact, report.other_artifacts)
        self._progress.forget(job.id)
        log.info("attempt ended", job_id=job.id, attempt=valid.token, state=job.state, reason=report.reason)
        return Answer.ACCEPTED

    async def lose(self, session: AsyncSession, lease: Lease, detail: str, only_expired: bool) -> bool:
        """End a lease whose node is gone, and give its job to another; False if it turned out to be well.

        At a provider there may be an order by now, and only that node can know: its job waits for it alone.
        """
        job = await self._leased_job(session, lease)
        if job is None:
            return False
        lost = AttemptOutcome.ATTEMPT_OUTCOME_LOST
        reason = Reason.NODE_LOST
        if self._fleet.is_provider(job.backend):
            job.bound = lease.node_id
        if not await self._leases.end(session, lease, job, lost, reason, detail, only_expired=only_expired):
            return False
        self._judge(job, lease, reason)
        await self._jobs.save(session, job, self._fail(job, lease, reason, detail))
        self._progress.forget(job.id)
        log.warning("lease lost", job_id=job.id, attempt=lease.token, node_id=lease.node_id, detail=detail)
        return True

    def _fail(self, job: Job, lease: Lease, reason: Reason, detail: str) -> float:
        """End the attempt; returns the pause until the next one, none when it goes elsewhere."""
        pause = self._retries.fail(job, reason, detail)
        if job.state is JobState.QUEUED:
            before, job.waited = job.backend, 0.0
            self._place(job, lease.id)
            pause = pause if job.backend == before else 0.0
        return pause

    def _judge(self, job: Job, lease: Lease, reason: Reason) -> None:
        """Tell a provider's breaker how an attempt ended."""
        breaker = self._fleet.breakers.get(job.backend)
        if breaker is not None:
            before = breaker.state
            breaker.ended(lease.id, reason)
            if breaker.state is not before:
                log.warning("breaker", backend=job.backend, before=before, now=breaker.state)

    def _place(self, job: Job, ended: str = "") -> None:
        """Let a queued job wait where its chain says, and write down why; `ended` is the lease it comes from."""
        plan = self._plan(job, ended)
        job.backend = plan.backend
        job.note(plan.looks)

    def _plan(self, job: Job, ended: str = "") -> Plan:
        own = _own(job)
        if job.held:
            detail = "cost has not set the money aside, and the allowance without that is used up"
            return Plan(own, (Look(own, Verdict.SKIPPED, Code.UNSECURED, detail),))
        if job.bound:
            detail = f"only {job.bound} can know what became of its order"
            away = self._fleet.nodes.get(job.bound) is None
            return Plan(job.backend, (Look(job.backend, Verdict.SKIPPED, Code.NO_NODE, detail),) if away else ())
        return self._chain.plan(job, own, lambda backend: self._fleet.standing(backend, job.model, ended))

    def _models(self, node: Connection) -> frozenset[str] | None:
        return None if self._fleet.is_provider(node.backend) else node.models

    async def _hold(self, session: AsyncSession, job: Job) -> None:
        """Cost decided already, or the job starts within the user's allowance, or it waits."""
        await self._reservations.lock(session, job.user_id)
        early = await self._reservations.kept(session, job.id)
        if early is not None:
            job.terms = replace(job.terms, reservation=early[0], quotes=early[1] or job.terms.quotes)
        else:
            job.held = await self._reservations.room(session, job.user_id) <= 0

    async def _leased_job(self, session: AsyncSession, lease: Lease) -> Job | None:
        """The lease's job, locked, if this lease is still the one it runs under."""
        job = await self._jobs.get(session, lease.job_id)
        if job is None or job.state not in LEASED or job.attempt != lease.token:
            return None
        return job


def terms_of(command: GenerateVideo) -> Terms:
    """What the command says about money."""
    return Terms(
        reservation=reservation_of(command.reservation),
        fallback=command.fallback,
        quotes={quote.backend: quote.upper_bound.micros for quote in command.quotes},
        max_cost=command.max_cost.micros if command.HasField("max_cost") else None,
    )


def reservation_of(state: ReservationState.ValueType) -> Reservation:
    """Unspecified counts as secured: its producer is older than reservations."""
    if state == ReservationState.RESERVATION_STATE_UNSPECIFIED:
        return Reservation.SECURED
    return Reservation(ReservationState.Name(state).removeprefix("RESERVATION_STATE_"))


def _own(job: Job) -> str:
    """The backend of the job's model; one that left the catalogue meanwhile waits where it is."""
    rules = MODELS.get(job.model)
    return rules.backend if rules else job.backend
