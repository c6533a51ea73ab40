"""Usage, cost and latency over time: a customer sees its own, an administrator everybody's."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from edgecore.analytics.v1 import analytics_pb2 as pb
from edgecore_contracts import money
from edgecore_contracts.errors import FieldProblem, Forbidden, InvalidInput
from edgecore_gateway.domain.job import moment
from edgecore_gateway.entrypoints.caller import CallerPrincipal
from edgecore_gateway.entrypoints.parts import parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS

router = APIRouter(prefix="/api/v1", tags=["analytics"])

BUCKETS = {"hour": pb.BUCKET_HOUR, "day": pb.BUCKET_DAY}
LOOK_BACK = {"hour": timedelta(days=1), "day": timedelta(days=30)}
"""How far a question without `from` reaches."""
DIGITS = 3
"""Seconds are shown to the millisecond."""


class LatencyView(BaseModel):
    """Seconds from acceptance to delivery."""

    p50: float
    p95: float
    p99: float


class UsageView(BaseModel):
    """Of the jobs accepted in the period, as they stand now."""

    jobs: int
    delivered: int
    failed: int
    cancelled: int
    attempts: int
    fallbacks: int = Field(description="jobs that more than one backend was tried for")
    video_seconds: float = Field(description="delivered")
    compute_seconds: float = Field(description="that nodes worked")
    cost: str = Field(description="USD, 6 decimals")
    latency: LatencyView | None = Field(description="null when nothing was delivered")


class UsageBucket(UsageView):
    start: str


class CustomerUsage(UsageView):
    customer: str


class UsageReport(BaseModel):
    """`from` is included, `to` is not; `buckets` have no gaps, `customers` are the dearest first."""

    start: str = Field(alias="from")
    to: str
    bucket: Literal["hour", "day"]
    total: UsageView
    buckets: list[UsageBucket]
    customers: list[CustomerUsage]


@router.get(
    "/analytics/usage",
    summary="Usage, cost and latency over time",
    responses={200: {"model": UsageReport}, **REFUSALS},
)
async def usage(
    request: Request,
    caller: CallerPrincipal,
    since: Annotated[
        str | None, Query(alias="from", description="RFC 3339; default: 30 days, or with hours 1 day, before `to`")
    ] = None,
    to: Annotated[str | None, Query(description="RFC 3339; default: now")] = None,
    bucket: Annotated[Literal["hour", "day"], Query(description="UTC; hours for at most 31 days")] = "day",
    customer: Annotated[
        str | None,
        Query(description="administrators: only this user's", min_length=1, max_length=64, pattern=r"^[!-~]+$"),
    ] = None,
) -> Response:
    """What the jobs accepted in the period amount to now: in total, by hour or day, and by customer."""
    if not caller.is_admin and customer not in (None, caller.user_id):
        raise Forbidden("only an administrator sees another customer's usage")
    user_id = (customer or "") if caller.is_admin else caller.user_id
    parts = parts_of(request)
    end = _time("to", to) if to is not None else parts.clock.now()
    try:
        start = _time("from", since) if since is not None else end - LOOK_BACK[bucket]
    except OverflowError as error:
        raise InvalidInput([FieldProblem("to", "is too early")]) from error
    found = await parts.analytics.usage(user_id, start, end, BUCKETS[bucket])
    body = {
        "from": moment(start),
        "to": moment(end),
        "bucket": bucket,
        "total": _view(found.total),
        "buckets": [{"start": moment(one.start.ToDatetime(UTC))} | _view(one.usage) for one in found.buckets],
        "customers": [{"customer": one.user_id} | _view(one.usage) for one in found.customers],
    }
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


def _time(field: str, text: str) -> datetime:
    """A date is its first moment in UTC. Raises InvalidInput for what is no time, or lacks its offset."""
    try:
        time = datetime.fromisoformat(text)
        if len(text) == len("2026-11-21"):
            time = time.replace(tzinfo=UTC)
        if time.tzinfo is None:
            raise InvalidInput([FieldProblem(field, "needs an offset", time.isoformat() + "Z")])
        return time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        rule = "must be a date or an RFC 3339 time such as 2026-11-21T08:00:00Z (write + as %2B)"
        raise InvalidInput([FieldProblem(field, rule)]) from error


def _view(usage: pb.Usage) -> dict[str, Any]:
    latency = usage.latency
    return {
        "jobs": usage.jobs,
        "delivered": usage.delivered,
        "failed": usage.failed,
        "cancelled": usage.cancelled,
        "attempts": usage.attempts,
        "fallbacks": usage.fallbacks,
        "video_seconds": round(usage.video_seconds, DIGITS),
        "compute_seconds": round(usage.compute_seconds, DIGITS),
        "cost": money.text(usage.cost.micros),
        "latency": {name: round(getattr(latency, name), DIGITS) for name in ("p50", "p95", "p99")}
        if usage.HasField("latency")
        else None,
    }
