"""Brings waiting jobs and free nodes together, whenever one of the two appears."""

import asyncio
from contextlib import suppress

from google.protobuf.duration_pb2 import Duration
from prometheus_client import Counter

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient
from edgecore_scheduler.adapters.leases import Lease
from edgecore_scheduler.domain.fleet import Fleet
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.scheduling import Scheduling

POLL_SECONDS = 0.5
"""The longest a job whose retry pause has ended waits for a look."""

assigned = Counter("edgecore_jobs_assigned_total", "Leases granted", ["node"])

log = logs.get(__name__)


class Dispatcher:
    """Assigns in order of arrival, one transaction a job."""

    def __init__(self, database: Database, scheduling: Scheduling, fleet: Fleet, time_limit: float) -> None:
        self._database = database
        self._scheduling = scheduling
        self._fleet = fleet
        self._time_limit = Duration(seconds=int(time_limit))
        self._wake = asyncio.Event()
        database.after_commit(self._wake.set)

    def wake(self) -> None:
        """Look now: a node has room."""
        self._wake.set()

    async def run(self) -> None:
        """Assign until cancelled; a database that is away is waited for."""
        while True:
            try:
                await self._assign_all()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("dispatch waits for the database", error=repr(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    async def _assign_all(self) -> None:
        self._wake.clear()
        for node in self._fleet.nodes.with_room():
            while node.free > 0 and self._let_through(node) and await self._assign(node):
                pass

    def _let_through(self, node: Connection) -> bool:
        breaker = self._fleet.breakers.get(node.backend)
        return breaker is None or breaker.lets_through

    async def _assign(self, node: Connection) -> bool:
        """Lease one job to the node and tell it; False when none waits."""
        async with self._database.reading() as session:
            if not await self._scheduling.waiting(session, node):
                return False
        async with self._database.transaction() as session:
            assignment = await self._scheduling.assign(session, node)
        if assignment is None:
            return False
        job, lease = assignment
        node.running.add(lease.id)
        if breaker := self._fleet.breakers.get(node.backend):
            breaker.sent(lease.id)
        assigned.labels(node.node_id).inc()
        log.info("job assigned", job_id=job.id, attempt=job.attempt, node_id=node.node_id)
        # A node that went away meanwhile never gets it; the lease then expires and the job goes elsewhere.
        if not node.send(pb.SchedulerMessage(assign=self._message(job, lease))):
            node.close()
        return True

    def _message(self, job: Job, lease: Lease) -> pb.Assign:
        return pb.Assign(
            lease=pb.LeaseRef(lease_id=lease.id, token=lease.token),
            job_id=job.id,
            attempt=job.attempt,
            spec=GenerationSpec.FromString(job.spec),
            time_limit=self._time_limit,
            trace_context=job.trace_context,
        )
