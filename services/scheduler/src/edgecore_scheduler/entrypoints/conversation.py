"""One node's conversation with the scheduler, from its registration to the stream's end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_contracts.states import JobState, Reason
from edgecore_runtime import logs
from edgecore_runtime.database import Database
from edgecore_scheduler.adapters.leases import Lease, Leases
from edgecore_scheduler.adapters.node_records import NodeRecords
from edgecore_scheduler.domain.fleet import Fleet
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.domain.progress import Progress, Step
from edgecore_scheduler.entrypoints.dispatcher import Dispatcher
from edgecore_scheduler.scheduling import Answer, Report, Scheduling

STATE_OF_STAGE = {
    pb.STAGE_SAMPLING: JobState.GENERATING,
    pb.STAGE_DECODING: JobState.GENERATING,
    pb.STAGE_ENCODING: JobState.FINALIZING,
    pb.STAGE_UPLOADING: JobState.FINALIZING,
}
"""Which of the job's states a stage belongs to; while loading it is still ALLOCATED."""

REVOKED = "the lease is not valid any more"

log = logs.get(__name__)


@dataclass(frozen=True)
class Desk:
    """What every conversation works with."""

    database: Database
    scheduling: Scheduling
    leases: Leases
    records: NodeRecords
    fleet: Fleet
    progress: Progress
    dispatcher: Dispatcher
    welcome: pb.Welcome


class Conversation:
    """One open stream."""

    def __init__(self, desk: Desk, connection: Connection) -> None:
        self._desk = desk
        self._connection = connection
        self._reached: dict[str, JobState] = {}

    async def hold(
        self, requests: AsyncIterator[pb.WorkerMessage], held: dict[str, int]
    ) -> AsyncIterator[pb.SchedulerMessage]:
        """Read and write until either side ends it; `held` are the leases (id → token) the node still has."""
        desk, connection = self._desk, self._connection
        self._send(welcome=desk.welcome)
        await self._reconcile(held)
        desk.fleet.nodes.add(connection)
        log.info("node connected", node_id=connection.node_id, models=sorted(connection.models))
        desk.dispatcher.wake()
        reading = asyncio.create_task(self._read(requests), name=f"work-{connection.node_id}")
        try:
            while (message := await connection.outbound.get()) is not None:
                yield message
        finally:
            desk.fleet.nodes.remove(connection)
            desk.fleet.observe()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            log.info("node disconnected", node_id=connection.node_id)

    async def _reconcile(self, held: dict[str, int]) -> None:
        """Compare what the node holds with what it should: what it does not name, it lost in a restart."""
        desk, node_id = self._desk, self._connection.node_id
        async with desk.database.transaction() as session:
            await desk.records.register(session, self._connection)
            missing = [one for one in await desk.leases.of_node(session, node_id) if one.id not in held]
            for lease in missing:
                await desk.scheduling.lose(session, lease, "its node came back without it", only_expired=False)
        await self._renew(held)
        if self._connection.draining:
            self._send(drain=pb.Drain())

    async def _read(self, requests: AsyncIterator[pb.WorkerMessage]) -> None:
        try:
            async for message in requests:
                await self._take(message)
        except Exception:
            # The node connects again and repeats what was not answered.
            log.exception("stream broken off", node_id=self._connection.node_id)
        finally:
            self._connection.close()

    async def _take(self, message: pb.WorkerMessage) -> None:
        match message.WhichOneof("message"):
            case "heartbeat":
                await self._renew({lease.lease_id: lease.token for lease in message.heartbeat.leases})
            case "progress":
                await self._progressed(message.progress)
            case "finished":
                await self._finished(message.finished)
            case kind:
                log.warning("unexpected message", node_id=self._connection.node_id, kind=kind)

    async def _renew(self, held: dict[str, int]) -> None:
        """Extend what is valid, revoke what is not, and repeat what the node must stop."""
        if not held:
            return
        desk, node_id = self._desk, self._connection.node_id
        async with desk.database.transaction() as session:
            valid = await desk.leases.renew(session, node_id, held)
            ended = held.keys() - valid.keys()
            finished = {one for one in ended if await desk.leases.finished_with(session, one, node_id)}
        for lease_id, token in held.items():
            ref = pb.LeaseRef(lease_id=lease_id, token=token)
            if lease_id in finished:
                self._send(accepted=pb.Accepted(lease=ref))
            elif lease_id in ended:
                self._revoke(ref)
            else:
                self._connection.running.add(lease_id)
                if valid[lease_id]:
                    self._send(cancel=pb.Cancel(lease=ref))

    async def _progressed(self, progress: pb.Progress) -> None:
        """Remember the step; only a change of the job's state is written."""
        desk, ref = self._desk, progress.lease
        async with desk.database.reading() as session:
            lease = await desk.leases.find(session, ref.lease_id, ref.token, self._connection.node_id)
        if lease is None:
            self._revoke(ref)
            return
        desk.progress.note(lease.job_id, Step(progress.stage, progress.step, progress.steps))
        await self._advance(lease, STATE_OF_STAGE.get(progress.stage, JobState.ALLOCATED))

    async def _advance(self, lease: Lease, state: JobState) -> None:
        if self._reached.get(lease.id, JobState.ALLOCATED) is state:
            return
        self._reached[lease.id] = state
        async with self._desk.database.transaction() as session:
            await self._desk.scheduling.advance(session, lease, state)

    async def _finished(self, finished: pb.Finished) -> None:
        """Commit the report, then answer; the node repeats it until it has an answer."""
        desk, ref = self._desk, finished.lease
        async with desk.database.transaction() as session:
            answer = await desk.scheduling.finish(session, ref, self._connection.node_id, _report(finished))
        if answer is Answer.ACCEPTED:
            self._drop(ref.lease_id)
            self._send(accepted=pb.Accepted(lease=ref))
        else:
            self._revoke(ref)
        desk.dispatcher.wake()

    def _revoke(self, ref: pb.LeaseRef) -> None:
        self._drop(ref.lease_id)
        self._send(revoked=pb.Revoked(lease=ref, detail=REVOKED))

    def _drop(self, lease_id: str) -> None:
        self._reached.pop(lease_id, None)
        self._connection.running.discard(lease_id)

    def _send(self, **message: Any) -> None:
        if not self._connection.send(pb.SchedulerMessage(**message)):
            log.warning("node reads too slowly; its stream ends", node_id=self._connection.node_id)
            self._connection.close()


def _report(finished: pb.Finished) -> Report:
    """The report as the domain knows it; a success without an artifact is a fault of the engine."""
    outcome, detail = finished.outcome, finished.detail
    try:
        reason = Reason.from_proto(finished.reason)
    except ValueError:
        reason = Reason.ENGINE_FAILED
    succeeded = outcome == AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED
    if succeeded and not finished.HasField("artifact"):
        outcome, reason = AttemptOutcome.ATTEMPT_OUTCOME_FAILED, Reason.ENGINE_FAILED
        detail = "the node reported success without an artifact"
    return Report(
        outcome=outcome,
        reason=reason,
        detail=detail,
        artifact=finished.artifact if finished.HasField("artifact") else None,
        measurements=finished.measurements if finished.HasField("measurements") else None,
        other_artifacts=tuple(finished.other_artifacts),
    )
