"""A job's status as it is now, or as it is once something happened."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from fastapi import Request

from edgecore_contracts.errors import NotFound
from edgecore_contracts.states import JobState
from edgecore_gateway.adapters import jobs
from edgecore_gateway.domain.job import Job, has_live, status
from edgecore_gateway.entrypoints.parts import Parts

WAIT_LIMIT = 60.0
"""Seconds; the longest a request waits for a job."""
RELOAD_SECONDS = 2.0
"""How often a waiter looks at the database unasked: events that another replica handled wake nobody here."""
LIVE_SECONDS = 0.2
"""How often a waiter that wants every step asks the scheduler."""

Status = dict[str, Any]

_JOB_ID = re.compile(r"job_[0-9A-HJKMNP-TV-Z]{26}", re.ASCII)


def is_job_id(text: str) -> bool:
    """Whether the text has a job id's shape; nothing else is worth a query, or fit for one."""
    return _JOB_ID.fullmatch(text) is not None


async def find(parts: Parts, job_id: str, user_id: str) -> Job:
    """The user's job. Raises NotFound, also when it is another user's."""
    if is_job_id(job_id):
        async with parts.database.reading() as session:
            job = await jobs.get(session, job_id, user_id)
        if job is not None:
            return job
    raise NotFound("there is no such job")


async def status_now(parts: Parts, job: Job) -> Status:
    """The status with what the scheduler knows beyond the events, if it answers."""
    return status(job, await parts.live.of(job.id) if has_live(job.state) else None)


async def follow(
    parts: Parts,
    request: Request,
    job_id: str,
    user_id: str,
    seconds: float,
    enough: Callable[[Status], bool],
    every_step: bool,
) -> Status:
    """The status as soon as `enough` says so, or after `seconds`; NotFound at once.

    Ends early when the caller is gone, the service stops, or too many wait already.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with parts.watch.subscription(job_id) as woken:
        job = await find(parts, job_id, user_id)
        reload_at = loop.time() + RELOAD_SECONDS
        while True:
            current = await status_now(parts, job)
            left = deadline - loop.time()
            if enough(current) or left <= 0 or woken is None or parts.health.stopping:
                return current
            if await request.is_disconnected():
                return current
            pause = LIVE_SECONDS if every_step and has_live(job.state) else RELOAD_SECONDS / 2
            try:
                async with asyncio.timeout(min(left, pause)):
                    await woken.wait()
            except TimeoutError:
                if loop.time() < min(reload_at, deadline):
                    continue
            woken.clear()
            job = await find(parts, job_id, user_id)
            reload_at = loop.time() + RELOAD_SECONDS


def is_over(current: Status) -> bool:
    return JobState(current["state"]).terminal


def etag(current: Status) -> str:
    """A weak tag of everything but the estimate, which changes without anything happening."""
    seen = {name: value for name, value in current.items() if name != "eta_seconds"}
    return f'W/"{hashlib.blake2b(json.dumps(seen).encode(), digest_size=12).hexdigest()}"'


def matches(header: str | None, tag: str) -> bool:
    """Whether If-None-Match names the tag (compared weakly), or any at all."""
    if header is None:
        return False
    tags = [one.strip().removeprefix("W/") for one in header.split(",")]
    return "*" in tags or tag.removeprefix("W/") in tags
