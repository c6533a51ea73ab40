"""Why a job ran where it ran, or why it waits."""

from datetime import UTC
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_gateway.domain.job import moment
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.following import find
from edgecore_gateway.entrypoints.parts import parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS

router = APIRouter(prefix="/api/v1", tags=["jobs"])


class DecisionView(BaseModel):
    """One look at one backend: chosen; skipped, it could but not now; filtered, it never will."""

    number: int
    attempt: int = Field(description="that it was about, from 1")
    backend: str
    node: str | None = Field(description="null unless chosen")
    verdict: Literal["chosen", "skipped", "filtered"]
    code: str = Field(description="stable, for programs")
    detail: str
    decided_at: str


class DecisionList(BaseModel):
    data: list[DecisionView]


@router.get(
    "/jobs/{job_id}/decisions",
    summary="Why this node and this provider",
    responses={200: {"model": DecisionList}, **REFUSALS},
)
async def decisions(request: Request, caller: Caller, job_id: str) -> Response:
    """The scheduler's decisions, oldest first; one is written when something changed, not at every look."""
    parts = parts_of(request)
    await find(parts, job_id, caller)
    made = await parts.scheduler.decisions(job_id)
    return JSONResponse({"data": [_decision(one) for one in made]}, headers={"Cache-Control": "no-store"})


def _decision(made: pb.Decision) -> dict[str, Any]:
    return {
        "number": made.number,
        "attempt": made.attempt,
        "backend": made.backend,
        "node": made.node_id or None,
        "verdict": pb.Verdict.Name(made.verdict).removeprefix("VERDICT_").lower(),
        "code": made.code,
        "detail": made.detail,
        "decided_at": moment(made.decided_at.ToDatetime(UTC)),
    }
