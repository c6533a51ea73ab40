"""AnalyticsService: questions about usage, cost and latency."""

from datetime import datetime
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from edgecore.analytics.v1 import analytics_pb2 as pb
from edgecore.analytics.v1 import analytics_pb2_grpc
from edgecore_analytics.adapters.usage import usage
from edgecore_analytics.domain.figures import Figures
from edgecore_analytics.domain.job import moment
from edgecore_analytics.domain.period import Bucket, Period
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import FieldProblem, InvalidInput, Unavailable
from edgecore_contracts.money import usd
from edgecore_runtime.database import Database, is_transient

Context = grpc.aio.ServicerContext[Any, Any]

BUCKETS = {pb.BUCKET_HOUR: Bucket.HOUR, pb.BUCKET_DAY: Bucket.DAY}


class AnalyticsService(analytics_pb2_grpc.AnalyticsServiceServicer):
    """Serves every call of the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        """Raises InvalidInput for a period that breaks the rules, Unavailable while PostgreSQL is away."""
        period = _period(request)
        try:
            async with self._database.reading() as session:
                found = await usage(session, period, request.user_id)
        except Exception as error:
            if is_transient(error):
                raise Unavailable("the database of analytics is away or too slow; try again") from error
            raise
        return pb.GetUsageResponse(
            total=_usage(found.total),
            buckets=[
                pb.UsageBucket(start=timestamp(start), usage=_usage(one)) for start, one in found.buckets.items()
            ],
            customers=[
                pb.CustomerUsage(user_id=user_id, usage=_usage(one)) for user_id, one in found.customers.items()
            ],
        )


def _period(request: pb.GetUsageRequest) -> Period:
    bucket = BUCKETS.get(request.bucket)
    if bucket is None:
        raise InvalidInput([FieldProblem("bucket", "must be BUCKET_HOUR or BUCKET_DAY")])
    # `from` is a word of Python's, so the field has no attribute of that name.
    period = Period(_time("from", getattr(request, "from")), _time("to", request.to), bucket)
    period.check()
    return period


def _time(field: str, stamp: Timestamp) -> datetime:
    try:
        return moment(stamp)
    except ValueError as error:
        raise InvalidInput([FieldProblem(field, str(error))]) from error


def _usage(figures: Figures) -> pb.Usage:
    latency = figures.latency
    return pb.Usage(
        jobs=figures.jobs,
        delivered=figures.delivered,
        failed=figures.failed,
        cancelled=figures.cancelled,
        attempts=figures.attempts,
        fallbacks=figures.fallbacks,
        video_seconds=figures.video_seconds,
        compute_seconds=figures.compute_seconds,
        cost=usd(figures.cost_micros),
        latency=pb.Latency(p50=latency.p50, p95=latency.p95, p99=latency.p99) if latency else None,
    )
