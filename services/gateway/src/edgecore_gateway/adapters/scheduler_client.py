"""Questions to the scheduler about nodes and decisions; while it is away the answer is a typed error, soon."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore_contracts.errors import NotFound, Unavailable
from edgecore_runtime import logs
from edgecore_runtime.grpc_client import Peer

CALL_SECONDS = 3.0

log = logs.get(__name__)


class SchedulerClient(Peer):
    """One channel to the scheduler; every question can raise Unavailable."""

    async def nodes(self) -> list[pb.Node]:
        answer = await self._ask(lambda stub: stub.ListNodes(pb.ListNodesRequest(), timeout=CALL_SECONDS))
        return list(answer.nodes)

    async def drain(self, node_id: str, drain: bool) -> pb.Node:
        """The node as it is then. Raises NotFound."""
        request = pb.DrainNodeRequest(node_id=node_id, drain=drain)
        answer: pb.DrainNodeResponse = await self._ask(lambda stub: stub.DrainNode(request, timeout=CALL_SECONDS))
        return answer.node

    async def pools(self) -> list[pb.Pool]:
        answer = await self._ask(lambda stub: stub.ListPools(pb.ListPoolsRequest(), timeout=CALL_SECONDS))
        return list(answer.pools)

    async def providers(self) -> list[pb.Provider]:
        request = pb.ListProvidersRequest()
        answer = await self._ask(lambda stub: stub.ListProviders(request, timeout=CALL_SECONDS))
        return list(answer.providers)

    async def decisions(self, job_id: str) -> list[pb.Decision]:
        """Oldest first; none while the scheduler has not seen the job."""
        request = pb.ExplainJobRequest(job_id=job_id)
        try:
            answer = await self._ask(lambda stub: stub.ExplainJob(request, timeout=CALL_SECONDS))
        except NotFound:
            return []
        return list(answer.decisions)

    async def _ask(self, call: Callable[[Any], Awaitable[Any]]) -> Any:
        if self._channel is None:
            raise Unavailable("this deployment has no scheduler")
        try:
            return await call(scheduler_pb2_grpc.SchedulerServiceStub(self._channel))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(error.details() or "there is no such thing") from error
            log.warning("the scheduler did not answer", status=error.code().name, detail=error.details())
            raise Unavailable("the scheduler is away or too slow; try again later") from error
