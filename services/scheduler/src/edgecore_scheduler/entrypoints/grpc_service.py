"""SchedulerService: the Work stream for nodes, and questions about jobs and nodes."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore_contracts.errors import NotFound
from edgecore_contracts.states import LEASED, JobState
from edgecore_scheduler.adapters.jobs import Jobs
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.domain.progress import Step, eta_seconds
from edgecore_scheduler.entrypoints.conversation import Desk
from edgecore_scheduler.entrypoints.work import work

Context = grpc.aio.ServicerContext[Any, Any]


class SchedulerService(scheduler_pb2_grpc.SchedulerServiceServicer):
    """Serves every call of the contract."""

    def __init__(self, desk: Desk, jobs: Jobs) -> None:
        self._desk = desk
        self._jobs = jobs

    def Work(
        self, request_iterator: AsyncIterator[pb.WorkerMessage], context: Context
    ) -> AsyncIterator[pb.SchedulerMessage]:
        return work(request_iterator, self._desk)

    async def GetProgress(self, request: pb.GetProgressRequest, context: Context) -> pb.GetProgressResponse:
        """Where a job stands. Raises NotFound."""
        async with self._desk.database.reading() as session:
            job = await self._jobs.peek(session, request.job_id)
            if job is None:
                raise NotFound(f"the scheduler does not know job {request.job_id}")
            position = await self._jobs.position(session, job.id) if job.state is JobState.QUEUED else 0
            seconds = await self._jobs.recent_seconds(session, job.model)
        return self._answer(job, position, seconds)

    def _answer(self, job: Job, position: int, attempt_seconds: float | None) -> pb.GetProgressResponse:
        step = self._desk.progress.of(job.id) or Step(pb.STAGE_UNSPECIFIED, 0, 0)
        response = pb.GetProgressResponse(
            state=job.state.to_proto(),
            version=job.version,
            stage=step.stage,
            step=step.step,
            steps=step.steps,
            queue_position=position,
        )
        if job.state is JobState.QUEUED or job.state in LEASED:
            eta = eta_seconds(attempt_seconds, position, self._desk.nodes.capacity(job.model), step.fraction)
            if eta is not None:
                response.eta.CopyFrom(Duration(nanos=int(eta % 1 * 1e9), seconds=int(eta)))
        return response

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:
        """Every node that ever registered, connected or not."""
        async with self._desk.database.reading() as session:
            known = await self._desk.records.all(session)
        return pb.ListNodesResponse(nodes=[self._node(one) for one in known])

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Context) -> pb.DrainNodeResponse:
        """Stop (or start again) giving work to a node. Raises NotFound."""
        async with self._desk.database.transaction() as session:
            if not await self._desk.records.set_draining(session, request.node_id, request.drain):
                raise NotFound(f"no node is called {request.node_id!r}")
            known = await self._desk.records.all(session)
        connection = self._desk.nodes.get(request.node_id)
        if connection is not None:
            connection.draining = request.drain
            if request.drain:
                connection.send(pb.SchedulerMessage(drain=pb.Drain()))
        self._desk.dispatcher.wake()
        return pb.DrainNodeResponse(node=self._node(next(one for one in known if one.node_id == request.node_id)))

    def _node(self, known: Connection) -> pb.Node:
        connection = self._desk.nodes.get(known.node_id)
        return pb.Node(
            node_id=known.node_id,
            pool=known.pool,
            device=known.device,
            backend=known.backend,
            models=sorted(known.models),
            capacity=known.capacity,
            running=len(connection.running) if connection else 0,
            connected=connection is not None,
            draining=known.draining,
        )
