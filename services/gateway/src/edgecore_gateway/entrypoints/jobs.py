"""Reading and cancelling one's jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from edgecore.jobs.v1.commands_pb2 import CancelJob
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import Conflict, FieldProblem, InvalidInput
from edgecore_contracts.states import JobState
from edgecore_gateway.adapters import jobs
from edgecore_gateway.domain import fields
from edgecore_gateway.domain.job import moment, status
from edgecore_gateway.domain.json_body import printable
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.following import (
    WAIT_LIMIT,
    Status,
    etag,
    find,
    follow,
    is_job_id,
    is_over,
    matches,
    status_now,
)
from edgecore_gateway.entrypoints.parts import parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS, JobPage, JobStatus, TransitionList

router = APIRouter(prefix="/api/v1", tags=["jobs"])

PAGE_DEFAULT, PAGE_MOST = 20, 100

Wait = Annotated[
    float,
    Query(
        ge=0,
        le=WAIT_LIMIT,
        allow_inf_nan=False,
        description="seconds to wait: with If-None-Match for any change, otherwise for the end",
    ),
]
ONE: dict[int | str, dict[str, Any]] = {
    200: {"model": JobStatus},
    304: {"description": "As If-None-Match says"},
    **REFUSALS,
}


@router.get("/status/{job_id}", summary="How a job goes", responses=ONE)
@router.get("/jobs/{job_id}", summary="How a job goes", responses=ONE)
async def job_status(request: Request, caller: Caller, job_id: str, wait: Wait = 0.0) -> Response:
    """State, progress and result of one job; with `wait` a long poll."""
    parts = parts_of(request)
    known = request.headers.get("if-none-match")

    def enough(current: Status) -> bool:
        return is_over(current) if known is None else not matches(known, etag(current))

    current = await follow(parts, request, job_id, caller, wait, enough, every_step=known is not None)
    return _status_answer(current, known)


@router.get("/jobs", summary="Your jobs, newest first", responses={200: {"model": JobPage}, **REFUSALS})
async def job_list(
    request: Request,
    caller: Caller,
    after: Annotated[str | None, Query(description="the `next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = PAGE_DEFAULT,
    state: Annotated[str | None, Query(description="only jobs in this state")] = None,
) -> Response:
    if after is not None and not is_job_id(after):
        raise InvalidInput([FieldProblem("after", "must be the `next` of an earlier page")])
    wanted = _state(state) if state is not None else None
    async with parts_of(request).database.reading() as session:
        found = await jobs.page(session, caller, after, wanted, limit + 1)
    shown = found[:limit]
    more = len(found) > limit
    body = {"data": [status(job) for job in shown], "has_more": more, "next": shown[-1].id if more else None}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


@router.get(
    "/jobs/{job_id}/events", summary="A job's history", responses={200: {"model": TransitionList}, **REFUSALS}
)
async def job_events(request: Request, caller: Caller, job_id: str) -> Response:
    parts = parts_of(request)
    await find(parts, job_id, caller)
    async with parts.database.reading() as session:
        rows = await jobs.history(session, job_id)
    return JSONResponse({"data": [_transition(row) for row in rows]}, headers={"Cache-Control": "no-store"})


@router.post(
    "/jobs/{job_id}/cancel",
    status_code=202,
    summary="Stop a job",
    response_description="The wish is noted; the state says when it happened",
    responses={
        202: {"model": JobStatus},
        200: {"model": JobStatus, "description": "Already cancelled"},
        **REFUSALS,
    },
)
async def job_cancel(request: Request, caller: Caller, job_id: str) -> Response:
    """Ask the scheduler to stop the job. Repeating it changes nothing; a job that is over is a conflict."""
    parts = parts_of(request)
    job = await find(parts, job_id, caller)
    if not job.state.terminal:
        async with parts.database.transaction() as session:
            now = parts.clock.now()
            if await jobs.request_cancel(session, job_id, caller, now):
                requested_at = timestamp(now)
                command = CancelJob(job_id=job_id, user_id=caller, requested_at=requested_at)
                await parts.outbox.add(session, command, job_id)
        job = await find(parts, job_id, caller)
    if job.state.terminal and job.state is not JobState.CANCELLED:
        raise Conflict(f"the job is over: its state is {job.state}")
    current = await status_now(parts, job)
    return JSONResponse(current, 200 if job.state.terminal else 202, {"Cache-Control": "no-store"})


def _status_answer(current: Status, known: str | None) -> Response:
    tag = etag(current)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if matches(known, tag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(current, headers=headers)


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError as error:
        states = {state.value.lower(): state.value for state in JobState}
        nearest = fields.closest(printable(text), list(states))
        rule = "must be one of " + ", ".join(states.values())
        raise InvalidInput([FieldProblem("state", rule, states[nearest] if nearest else None)]) from error


def _transition(row: Any) -> dict[str, Any]:
    return {
        "version": row.version,
        "from": row.from_state,
        "to": row.to_state,
        "reason": row.reason,
        "detail": row.detail,
        "attempt": row.attempt,
        "node": row.node or None,
        "occurred_at": moment(row.occurred_at),
    }
