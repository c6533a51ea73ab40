"""What a job would cost before one asks for it, and what it did cost."""

import secrets
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from edgecore.cost.v1 import cost_pb2 as pb
from edgecore_contracts.models import DEFAULT_MODEL, MODELS
from edgecore_gateway.adapters import costs
from edgecore_gateway.domain.costs import job_cost, money_text
from edgecore_gateway.domain.validation import validate
from edgecore_gateway.entrypoints.caller import Caller
from edgecore_gateway.entrypoints.following import find
from edgecore_gateway.entrypoints.inputs import resolved
from edgecore_gateway.entrypoints.parts import parts_of
from edgecore_gateway.entrypoints.request_body import read_json
from edgecore_gateway.entrypoints.schemas import REFUSALS, request_schema

router = APIRouter(prefix="/api/v1", tags=["costs"])

NO_STORE = {"Cache-Control": "no-store"}


class CandidateView(BaseModel):
    """One way to make the video; amounts in USD, 6 decimals, `low` to `high` the 90 % interval."""

    backend: str
    model: str
    amount: str
    low: str
    high: str
    currency: Literal["USD"]
    eta_seconds: float | None = Field(description="until the video is there, waiting included; null when unknown")
    available: bool = Field(description="whether a job could go there now")
    price_id: str
    detail: str


class RecommendationView(BaseModel):
    backend: str
    model: str
    reason: str


class EstimateView(BaseModel):
    candidates: list[CandidateView]
    recommended: RecommendationView | None


class CostLineView(BaseModel):
    attempt: int
    kind: str = Field(description="compute, storage, egress or provider")
    amount: str
    quantity: float = Field(description="in the price's unit: seconds, gigabyte-months, gigabytes")
    price_id: str
    occurred_at: str


class JobCostView(BaseModel):
    estimated: str | None
    actual: str | None = Field(description="the sum of the lines; null while there is none")
    reservation: Literal["secured", "pending", "declined", "none"]
    lines: list[CostLineView]


@router.post(
    "/estimate",
    summary="What a video would cost",
    responses={200: {"model": EstimateView}, **REFUSALS},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request_schema(MODELS[DEFAULT_MODEL])}},
        }
    },
)
async def estimate(request: Request, caller: Caller) -> Response:
    """Every way to make what the body asks for, checked as `generate` checks it; nothing is made or set aside."""
    parts = parts_of(request)
    body = await read_json(request, parts.settings.max_body_bytes)
    spec = await resolved(parts, caller, validate(body, MODELS, secrets.randbits(63)))
    answer = await parts.costs.estimate(caller, spec)
    recommended = {
        "backend": answer.recommended_backend,
        "model": answer.recommended_model,
        "reason": answer.reason,
    }
    shown = {
        "candidates": [_candidate(one) for one in answer.candidates],
        "recommended": recommended if answer.recommended_backend else None,
    }
    return JSONResponse(shown, headers=NO_STORE)


@router.get("/jobs/{job_id}/cost", summary="What a job costs", responses={200: {"model": JobCostView}, **REFUSALS})
async def cost(request: Request, caller: Caller, job_id: str) -> Response:
    """The estimate, and the ledger's lines as far as they are posted."""
    parts = parts_of(request)
    job = await find(parts, job_id, caller)
    async with parts.database.reading() as session:
        lines = await costs.lines_of(session, job_id)
    return JSONResponse(job_cost(job, lines), headers=NO_STORE)


def _candidate(one: pb.Candidate) -> dict[str, Any]:
    eta = round(one.eta.ToTimedelta().total_seconds(), 3) if one.HasField("eta") else None
    return {
        "backend": one.backend,
        "model": one.model,
        "amount": money_text(one.amount),
        "low": money_text(one.low),
        "high": money_text(one.high),
        "currency": "USD",
        "eta_seconds": eta,
        "available": one.available,
        "price_id": one.price_id,
        "detail": one.detail,
    }
