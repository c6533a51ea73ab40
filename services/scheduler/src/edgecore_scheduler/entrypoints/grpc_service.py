"""SchedulerService: the Work stream for nodes, and questions about jobs, nodes, pools and providers."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore_contracts.errors import NotFound
from edgecore_contracts.states import LEASED, JobState
from edgecore_runtime.clock import Clock
from edgecore_scheduler.adapters.jobs import Jobs
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.domain.progress import Step, eta_seconds
from edgecore_scheduler.entrypoints import messages
from edgecore_scheduler.entrypoints.conversation import Desk
from edgecore_scheduler.entrypoints.standings import Standings
from edgecore_scheduler.entrypoints.work import work

Context = grpc.aio.ServicerContext[Any, Any]


class SchedulerService(scheduler_pb2_grpc.SchedulerServiceServicer):
    """Serves every call of the contract."""

    def __init__(self, desk: Desk, jobs: Jobs, standings: Standings, clock: Clock) -> None:
        self._desk = desk
        self._jobs = jobs
        self._standings = standings
        self._clock = clock

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
            seconds = await self._jobs.recent_seconds(session, job.backend, job.model)
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
            capacity = self._desk.fleet.capacity(job.backend, job.model)
            eta = eta_seconds(attempt_seconds, position, capacity, step.fraction)
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
        connection = self._desk.fleet.nodes.get(request.node_id)
        if connection is not None:
            connection.draining = request.drain
            if request.drain:
                connection.send(pb.SchedulerMessage(drain=pb.Drain()))
        self._desk.dispatcher.wake()
        return pb.DrainNodeResponse(node=self._node(next(one for one in known if one.node_id == request.node_id)))

    async def ListPools(self, request: pb.ListPoolsRequest, context: Context) -> pb.ListPoolsResponse:
        """Every pool that ever had a node."""
        async with self._desk.database.reading() as session:
            known = await self._desk.records.all(session)
            standings = await self._standings.pools(session, known)
        return pb.ListPoolsResponse(pools=[messages.pool(one) for one in standings])

    async def ListProviders(self, request: pb.ListProvidersRequest, context: Context) -> pb.ListProvidersResponse:
        """The paid providers of the fallback chain, in its order."""
        fleet, now = self._desk.fleet, self._clock.now()
        return pb.ListProvidersResponse(
            providers=[
                messages.provider(backend, breaker, fleet.standing(backend, "").nodes, now)
                for backend, breaker in fleet.breakers.items()
            ]
        )

    async def ExplainJob(self, request: pb.ExplainJobRequest, context: Context) -> pb.ExplainJobResponse:
        """Why a job ran where it ran; one that waits is looked at anew first. Raises NotFound."""
        database = self._desk.database
        async with database.reading() as session:
            job = await self._jobs.peek(session, request.job_id)
        if job is None:
            raise NotFound(f"the scheduler does not know job {request.job_id}")
        if job.state is JobState.QUEUED and self._desk.scheduling.would_move(job):
            async with database.transaction() as session:
                await self._desk.scheduling.look_again(session, job.id)
        async with database.reading() as session:
            made = await self._jobs.decisions(session, job.id)
        return pb.ExplainJobResponse(decisions=[messages.decision(one, at) for one, at in made])

    def _node(self, known: Connection) -> pb.Node:
        return messages.node(known, self._desk.fleet.nodes.get(known.node_id))
