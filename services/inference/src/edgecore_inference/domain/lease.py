"""What a node holds: leases it works on, and leases whose end the scheduler has not acknowledged.

Times are seconds of one monotonic clock, given by the caller.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

UNANSWERED_MAX = 64
"""Reports kept for a scheduler that does not answer; past it new assignments are not even refused."""

RESEND_SECONDS = 5.0
"""A report without an answer is repeated on the same stream after this long."""

Report = TypeVar("Report")


@dataclass(frozen=True, order=True)
class Lease:
    """The right to work on one job; the token tells it from an older or newer lease."""

    lease_id: str
    token: int


class TooManyLeases(Exception):
    """The node holds as much as it can."""


@dataclass
class _Held(Generic[Report]):
    renewed_at: float
    report: Report | None = None
    reported_at: float | None = None


class LeaseBook(Generic[Report]):
    """Leases held by one node that works on `capacity` jobs at a time."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.ttl: float | None = None
        self._held: dict[Lease, _Held[Report]] = {}

    def __contains__(self, lease: Lease) -> bool:
        return lease in self._held

    def held(self) -> list[Lease]:
        """All that heartbeats name: also what is finished and not yet accepted."""
        return list(self._held)

    def running(self) -> list[Lease]:
        return [lease for lease, held in self._held.items() if held.report is None]

    def unanswered(self) -> list[Lease]:
        return [lease for lease, held in self._held.items() if held.report is not None]

    def take(self, lease: Lease, now: float) -> None:
        """Start to work under a lease that is not in the book; raise TooManyLeases."""
        if len(self.running()) >= self.capacity:
            raise TooManyLeases(f"{self.capacity} at a time, and {len(self.running())} running")
        self._held[lease] = _Held(now)

    def refuse(self, lease: Lease, report: Report, now: float) -> None:
        """Keep only the report of a lease that is not taken; raise TooManyLeases when too many wait."""
        if len(self.unanswered()) >= UNANSWERED_MAX:
            raise TooManyLeases(f"{UNANSWERED_MAX} reports wait for an answer")
        self._held[lease] = _Held(now, report)

    def finish(self, lease: Lease, report: Report) -> None:
        """The work is over; nothing happens if the lease was forgotten meanwhile."""
        if lease in self._held:
            self._held[lease].report = report

    def forget(self, lease: Lease) -> Report | None:
        """Accepted, revoked or expired. Returns the report if there was one."""
        held = self._held.pop(lease, None)
        return held.report if held else None

    def renew(self, leases: Iterable[Lease], sent_at: float) -> None:
        """A message naming these leases left at `sent_at`."""
        for lease in leases:
            if lease in self._held:
                held = self._held[lease]
                held.renewed_at = max(held.renewed_at, sent_at)

    def expired(self, now: float) -> list[Lease]:
        """Running leases that the scheduler may have given to another node by now.

        It renews a lease when our message arrives, which is not before we sent it: so this end of the lease
        is never later than the scheduler's, whatever the wall clocks say.
        """
        ttl = self.ttl
        if ttl is None:
            return []
        return [lease for lease in self.running() if now - self._held[lease].renewed_at >= ttl]

    def next_expiry(self) -> float | None:
        """When the first running lease expires if nothing renews it."""
        renewed = [self._held[lease].renewed_at for lease in self.running()]
        return min(renewed) + self.ttl if renewed and self.ttl is not None else None

    def reports_due(self, now: float) -> list[tuple[Lease, Report]]:
        """Reports not said on this stream, or said long ago without an answer."""
        due = []
        for lease, held in self._held.items():
            late = held.reported_at is None or now - held.reported_at >= RESEND_SECONDS
            if held.report is not None and late:
                due.append((lease, held.report))
        return due

    def reported(self, lease: Lease, sent_at: float) -> None:
        if lease in self._held:
            self._held[lease].reported_at = sent_at

    def new_stream(self) -> None:
        """Whatever was said on an earlier stream may not have arrived."""
        for held in self._held.values():
            held.reported_at = None
