"""Questions to analytics; while it is away the answer is a typed error, soon."""

from datetime import datetime

import grpc

from edgecore.analytics.v1 import analytics_pb2 as pb
from edgecore.analytics.v1 import analytics_pb2_grpc
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import FieldProblem, InvalidInput, Unavailable
from edgecore_runtime import logs
from edgecore_runtime.grpc_client import Peer

CALL_SECONDS = 5.0
"""A question reads many rows; a caller waits for it, so not for long."""

log = logs.get(__name__)


class AnalyticsClient(Peer):
    """One channel to analytics; without an address every question is answered Unavailable."""

    async def usage(
        self, user_id: str, start: datetime, end: datetime, bucket: pb.Bucket.ValueType
    ) -> pb.GetUsageResponse:
        """Usage of one user, or of all when `user_id` is empty. Raises Unavailable, InvalidInput."""
        if self._channel is None:
            raise Unavailable("this deployment has no analytics")
        request = pb.GetUsageRequest(user_id=user_id, to=timestamp(end), bucket=bucket)
        getattr(request, "from").CopyFrom(timestamp(start))  # `from` is a word of Python's
        try:
            stub = analytics_pb2_grpc.AnalyticsServiceStub(self._channel)
            answer: pb.GetUsageResponse = await stub.GetUsage(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                field, _, rule = (error.details() or "").partition(": ")
                raise InvalidInput([FieldProblem(field, rule)]) from error
            log.warning("analytics did not answer", status=error.code().name, detail=error.details())
            raise Unavailable("analytics is away or too slow; try again later") from error
        return answer
