"""What the node says to the scheduler: registration, heartbeats, progress, reports.

Nothing here waits for the wire: what is to be said is state (the newest progress of each stage, the reports
without an answer, the next heartbeat), and the stream takes it from there when it can. So a scheduler that is
slow or away never stops the engine, and nothing queues up.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from edgecore.scheduler.v1.scheduler_pb2 import (
    Finished,
    Heartbeat,
    LeaseRef,
    Progress,
    Register,
    Welcome,
    WorkerMessage,
)
from edgecore_inference.domain.lease import Lease, LeaseBook
from edgecore_runtime.clock import Clock

HEARTBEAT_MIN_SECONDS = 0.02


@dataclass(frozen=True)
class Identity:
    """How the node presents itself."""

    node_id: str
    pool: str
    backend: str = "aiprod"
    capacity: int = 1
    """Jobs at a time; an engine holds one model and one video."""


@dataclass(frozen=True)
class Condition:
    """What the node's source of videos looks like now."""

    device: str
    models: tuple[str, ...]
    memory_bytes: int
    memory_bytes_used: int


class Reports:
    """A Speaker, and the book of leases it speaks of."""

    def __init__(self, identity: Identity, condition: Callable[[], Condition], clock: Clock) -> None:
        self.book: LeaseBook[Finished] = LeaseBook(identity.capacity)
        self._identity = identity
        self._condition = condition
        self._clock = clock
        self._progress: dict[tuple[Lease, int], Progress] = {}
        self._changed = asyncio.Event()
        self._answered = asyncio.Event()
        self._heartbeat_seconds = 1.0
        self._heartbeat_at = 0.0

    def progress(self, progress: Progress) -> None:
        """The newest of its stage replaces the one before, said or not."""
        self._progress[lease_of(progress.lease), progress.stage] = progress
        self._changed.set()

    def finish(self, lease: Lease, report: Finished) -> None:
        self.book.finish(lease, report)
        self._changed.set()

    def refuse(self, lease: Lease, report: Finished) -> None:
        """Raises TooManyLeases."""
        self.book.refuse(lease, report, self._clock.monotonic())
        self._changed.set()

    def forget(self, lease: Lease) -> Finished | None:
        """Accepted, revoked or expired: nothing more is said of it. Returns its report if there was one."""
        for key in [key for key in self._progress if key[0] == lease]:
            del self._progress[key]
        self._answered.set()
        return self.book.forget(lease)

    async def all_answered(self) -> None:
        """Wait, without a deadline, until no report is without an answer."""
        while self.book.unanswered():
            self._answered.clear()
            await self._answered.wait()

    def opening(self) -> WorkerMessage:
        now = self._condition()
        return WorkerMessage(
            register=Register(
                node_id=self._identity.node_id,
                pool=self._identity.pool,
                device=now.device,
                memory_bytes=now.memory_bytes,
                models=now.models,
                models_loaded=now.models,
                backend=self._identity.backend,
                capacity=self._identity.capacity,
                leases=self._refs(),
            )
        )

    def welcomed(self, welcome: Welcome, opened_at: float) -> None:
        self.book.ttl = welcome.lease_ttl.ToTimedelta().total_seconds()
        interval = welcome.heartbeat_interval.ToTimedelta().total_seconds()
        self._heartbeat_seconds = max(HEARTBEAT_MIN_SECONDS, interval)
        self._heartbeat_at = self._clock.monotonic() + self._heartbeat_seconds
        self.book.renew(self.book.held(), opened_at)
        self.book.new_stream()

    async def next(self) -> list[WorkerMessage]:
        while True:
            now = self._clock.monotonic()
            if due := self._due(now):
                return due
            self._changed.clear()
            try:
                async with asyncio.timeout(self._heartbeat_at - now):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def said(self, message: WorkerMessage, sent_at: float) -> None:
        match message.WhichOneof("message"):
            case "heartbeat":
                self.book.renew(map(lease_of, message.heartbeat.leases), sent_at)
            case "progress":
                key = (lease_of(message.progress.lease), message.progress.stage)
                # Unless it has moved on while this was being written.
                if self._progress.get(key) == message.progress:
                    del self._progress[key]
            case "finished":
                self.book.reported(lease_of(message.finished.lease), sent_at)

    def _due(self, now: float) -> list[WorkerMessage]:
        due = []
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self._heartbeat_seconds
            due.append(WorkerMessage(heartbeat=self._heartbeat()))
        due += [WorkerMessage(progress=progress) for progress in self._progress.values()]
        due += [WorkerMessage(finished=report) for _, report in self.book.reports_due(now)]
        return due

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            leases=self._refs(),
            memory_bytes_used=self._condition().memory_bytes_used,
            utilisation=len(self.book.running()) / self._identity.capacity,
        )

    def _refs(self) -> list[LeaseRef]:
        return [LeaseRef(lease_id=lease.lease_id, token=lease.token) for lease in self.book.held()]


def lease_of(ref: LeaseRef) -> Lease:
    return Lease(ref.lease_id, ref.token)
