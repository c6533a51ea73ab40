"""The scheduler, asked over gRPC: what is true now, and please drain this node."""

from datetime import datetime

import grpc

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1.scheduler_pb2_grpc import SchedulerServiceStub
from edgecore_autoscaler.adapters.snapshots import load_of
from edgecore_autoscaler.domain.drain import Node
from edgecore_autoscaler.domain.pool import Load
from edgecore_runtime import logs
from edgecore_runtime.grpc_client import Peer

SECONDS = 3.0

log = logs.get(__name__)


class Scheduler(Peer):
    """A client that turns an absent scheduler into None: the autoscaler then removes nothing."""

    async def load(self, pool: str, seconds_per_job: float, now: datetime) -> Load | None:
        """The pool as it is now, without work or nodes where it is not known; None when the scheduler is away."""
        if self._channel is None:
            return None
        stub = SchedulerServiceStub(self._channel)
        try:
            answer = await stub.ListPools(pb.ListPoolsRequest(), timeout=SECONDS)
        except grpc.RpcError as error:
            _say_away(error)
            return None
        found = next((one for one in answer.pools if one.pool == pool), pb.Pool(pool=pool))
        return load_of(found, seconds_per_job, now)

    async def nodes(self, pool: str) -> dict[str, Node] | None:
        """The pool's nodes by id; None when the scheduler is away."""
        if self._channel is None:
            return None
        stub = SchedulerServiceStub(self._channel)
        try:
            answer = await stub.ListNodes(pb.ListNodesRequest(), timeout=SECONDS)
        except grpc.RpcError as error:
            _say_away(error)
            return None
        return {
            one.node_id: Node(one.node_id, one.running, one.draining, one.connected)
            for one in answer.nodes
            if one.pool == pool
        }

    async def drain(self, node_id: str, drain: bool) -> bool:
        """Have the node take no more work (or take it again); False when the scheduler did not confirm it."""
        if self._channel is None:
            return False
        stub = SchedulerServiceStub(self._channel)
        try:
            await stub.DrainNode(pb.DrainNodeRequest(node_id=node_id, drain=drain), timeout=SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return True  # never met, or forgotten: nothing to drain and nothing to take back
            _say_away(error)
            return False
        return True


def _say_away(error: grpc.RpcError) -> None:
    log.warning("scheduler does not answer", code=str(error.code()))
