"""The answer to a question about usage, in one statement and so of one moment."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_analytics.domain.figures import Figures, Latency, Usage
from edgecore_analytics.domain.period import Period

CUSTOMERS_MOST = 1000
"""Customers listed in one answer; the total and the buckets count all of them."""

# Grouped three ways in one pass: by nothing, by bucket, by customer. percentile_cont interpolates between the two
# nearest latencies, and leaves out jobs without one.
_USAGE = """
WITH wanted AS (
    SELECT *, date_trunc(CAST(:bucket AS text), accepted_at, 'UTC') AS bucket
    FROM analytics.jobs
    WHERE accepted_at >= :start AND accepted_at < :end {one_user}
)
SELECT
    grouping(bucket) = 0 AS is_bucket,
    grouping(user_id) = 0 AS is_customer,
    bucket,
    user_id,
    count(*) AS jobs,
    count(*) FILTER (WHERE state = 'DELIVERED') AS delivered,
    count(*) FILTER (WHERE state = 'ERROR') AS failed,
    count(*) FILTER (WHERE state = 'CANCELLED') AS cancelled,
    coalesce(sum(attempts), 0) AS attempts,
    count(*) FILTER (WHERE fallback) AS fallbacks,
    coalesce(sum(video_seconds), 0) AS video_seconds,
    coalesce(sum(compute_seconds), 0) AS compute_seconds,
    coalesce(sum(cost_micros), 0) AS cost_micros,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_seconds) AS latency
FROM wanted
GROUP BY GROUPING SETS ((), (bucket), (user_id))
"""
_EVERYONE = text(_USAGE.format(one_user=""))
_ONE = text(_USAGE.format(one_user="AND user_id = :user_id"))


async def usage(session: AsyncSession, period: Period, user_id: str) -> Usage:
    """What the jobs accepted in the period amount to; of one user, or of all when `user_id` is empty."""
    values = {"bucket": period.bucket.value, "start": period.start, "end": period.end}
    if user_id:
        rows = list(await session.execute(_ONE, values | {"user_id": user_id}))
    else:
        rows = list(await session.execute(_EVERYONE, values))
    total = next(_figures(row) for row in rows if not row.is_bucket and not row.is_customer)
    by_start: dict[datetime, Figures] = {row.bucket: _figures(row) for row in rows if row.is_bucket}
    by_user = {row.user_id: _figures(row) for row in rows if row.is_customer}
    dearest = sorted(by_user, key=lambda user: (-by_user[user].cost_micros, user))[:CUSTOMERS_MOST]
    return Usage(
        total,
        {start: by_start.get(start, Figures()) for start in period.starts()},
        {user_id: total} if user_id else {user: by_user[user] for user in dearest},
    )


def _figures(row: Row[Any]) -> Figures:
    return Figures(
        jobs=row.jobs,
        delivered=row.delivered,
        failed=row.failed,
        cancelled=row.cancelled,
        attempts=int(row.attempts),
        fallbacks=row.fallbacks,
        video_seconds=float(row.video_seconds),
        compute_seconds=float(row.compute_seconds),
        cost_micros=int(row.cost_micros),
        latency=Latency(*row.latency) if row.latency else None,
    )
