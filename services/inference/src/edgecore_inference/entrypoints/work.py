"""What each message from the scheduler does, and the attempts that it leads to."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import StrEnum

from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1.scheduler_pb2 import Assign, Finished, SchedulerMessage
from edgecore_contracts.states import Reason
from edgecore_inference import metrics
from edgecore_inference.domain.lease import Lease, TooManyLeases
from edgecore_inference.entrypoints.attempt import Attempt, Workshop
from edgecore_inference.entrypoints.reports import Reports, lease_of
from edgecore_runtime import crash, logs

LEASE_CHECK_SECONDS = 0.25
KILL_SECONDS = 1.0
"""What ending a killed engine may take, on top of the grace."""

REPORT_SECONDS = 2.0
"""How long a node that leaves waits for the answers to its last reports."""

log = logs.get(__name__)


class Ending(StrEnum):
    """Why a running attempt was told to stop."""

    CANCELLED = "cancelled by its owner"
    LOST = "the lease is not ours any more"
    DRAINED = "the node is leaving"


@dataclass
class Running:
    attempt: Attempt
    task: "asyncio.Task[Finished]"
    ending: Ending | None = None


class Worker:
    """Works under the leases in the reports' book."""

    def __init__(self, workshop: Workshop, reports: Reports) -> None:
        self._workshop = workshop
        self._clock = workshop.clock
        self._reports = reports
        self._book = reports.book
        self._running: dict[Lease, Running] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._leaving = False

    def heard(self, message: SchedulerMessage) -> None:
        """A Listener."""
        match message.WhichOneof("message"):
            case "assign":
                self._assigned(message.assign)
            case "cancel":
                self._end(lease_of(message.cancel.lease), Ending.CANCELLED)
            case "accepted":
                self._reports.forget(lease_of(message.accepted.lease))
            case "revoked":
                revoked = message.revoked
                log.info("lease revoked", lease_id=revoked.lease.lease_id, detail=revoked.detail)
                self._lose(lease_of(revoked.lease))
            case "drain":
                log.info("draining: the scheduler sends no new work", running=len(self._running))
            case other:
                log.warning("message not understood", message=str(other))

    async def watch_leases(self) -> None:
        """Stop, forever, whatever the scheduler may meanwhile have given to another node."""
        while True:
            now = self._clock.monotonic()
            for lease in self._book.expired(now):
                log.warning("no contact to the scheduler: work stopped", lease_id=lease.lease_id)
                self._lose(lease)
            expiry = self._book.next_expiry()
            wait = LEASE_CHECK_SECONDS if expiry is None else min(LEASE_CHECK_SECONDS, expiry - now)
            await asyncio.sleep(max(0.0, wait))

    async def leave(self, drain_seconds: float, grace_seconds: float) -> None:
        """Finish what runs, or give it back; then wait for the last answers. Every wait is bounded."""
        self._leaving = True
        await self._attempts_done(drain_seconds)
        for lease in list(self._running):
            self._end(lease, Ending.DRAINED)
        await self._attempts_done(grace_seconds + KILL_SECONDS)
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await self._reports.all_answered()
        except TimeoutError:
            log.warning("left without an answer to reports", leases=len(self._book.unanswered()))
        if self._background:
            await asyncio.wait(self._background, timeout=KILL_SECONDS)

    def _assigned(self, assign: Assign) -> None:
        crash.point("assigned")
        lease = lease_of(assign.lease)
        if lease in self._book:
            return  # said twice; the work or the report is under way
        attempt = Attempt(assign, self._workshop, self._reports.progress)
        try:
            if self._leaving:
                raise TooManyLeases("the node is leaving")
            self._book.take(lease, self._clock.monotonic())
        except TooManyLeases as error:
            self._refuse(lease, attempt.failed(Reason.NODE_DRAINED, str(error)))
            return
        task = asyncio.create_task(attempt.run(), name=f"attempt-{assign.job_id}")
        self._running[lease] = Running(attempt, task)
        # Not a coroutine around it: a task that is cancelled before its first step runs none of its own code.
        task.add_done_callback(lambda _: self._ended(lease))

    def _refuse(self, lease: Lease, report: Finished) -> None:
        try:
            self._reports.refuse(lease, report)
        except TooManyLeases as error:
            log.error("assignment dropped; its lease will expire", lease_id=lease.lease_id, detail=str(error))

    def _end(self, lease: Lease, ending: Ending) -> None:
        running = self._running.get(lease)
        if running is None:
            return
        # Cancelled once only: a second time would kill an engine that is about to stop by itself.
        if running.ending is None:
            running.ending = ending
            running.task.cancel()
        elif ending is Ending.LOST:
            running.ending = ending

    def _lose(self, lease: Lease) -> None:
        """Stop the work, forget the lease, and remove what was uploaded under it."""
        report = self._reports.forget(lease)
        self._end(lease, Ending.LOST)
        if report is not None:
            self._discard(report)

    def _ended(self, lease: Lease) -> None:
        running = self._running.pop(lease)
        report = _cut_short(running) if running.task.cancelled() else running.task.result()
        metrics.ATTEMPTS.labels(AttemptOutcome.Name(report.outcome), Reason.from_proto(report.reason)).inc()
        if lease in self._book:
            self._reports.finish(lease, report)
        else:
            self._discard(report)

    def _discard(self, report: Finished) -> None:
        if report.HasField("artifact"):
            keys = [one.key for one in (report.artifact, *report.other_artifacts)]
            self._spawn(self._workshop.artifacts.remove(keys))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _attempts_done(self, seconds: float) -> None:
        if tasks := {running.task for running in self._running.values()}:
            await asyncio.wait(tasks, timeout=seconds)


def _cut_short(running: Running) -> Finished:
    match running.ending:
        case Ending.CANCELLED:
            outcome = AttemptOutcome.ATTEMPT_OUTCOME_CANCELLED
            return running.attempt.report(outcome, Reason.CANCELLED_BY_USER, Ending.CANCELLED)
        case Ending.LOST:
            return running.attempt.failed(Reason.NODE_LOST, Ending.LOST)
        case _:
            return running.attempt.failed(Reason.NODE_DRAINED, Ending.DRAINED)
