"""What can run, and where: models, nodes, pools, paid providers."""

from datetime import UTC
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_contracts.errors import Unavailable
from edgecore_contracts.models import MODELS, ModelRules
from edgecore_gateway.domain.job import moment
from edgecore_gateway.entrypoints.caller import Admin, Caller
from edgecore_gateway.entrypoints.forms import Form, documented, read_form
from edgecore_gateway.entrypoints.parts import parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS

router = APIRouter(prefix="/api/v1", tags=["fleet"])

NO_STORE = {"Cache-Control": "no-store"}


class NodeView(BaseModel):
    id: str
    pool: str
    backend: str
    device: str
    models: list[str] = Field(description="empty: any, of a paid provider")
    capacity: int = Field(description="jobs at a time")
    running: int
    connected: bool
    draining: bool = Field(description="gets no new work")


class NodeList(BaseModel):
    data: list[NodeView]


class DrainForm(Form):
    drain: bool = Field(description="false lets it take work again")


class PoolView(BaseModel):
    pool: str
    backend: str
    queued: int = Field(description="waiting jobs that its nodes could take")
    queued_seconds: float = Field(description="that those will take; 0 while nothing is known of their kind")
    running: int
    nodes_ready: int
    nodes_draining: int
    capacity: int = Field(description="jobs at a time, over all ready nodes")


class PoolList(BaseModel):
    data: list[PoolView]


class ProviderView(BaseModel):
    backend: str
    breaker: Literal["closed", "open", "half_open"] = Field(description="open: left alone for a while")
    nodes_ready: int
    recent_attempts: int
    recent_failures: int
    retry_at: str | None = Field(description="when an open breaker lets the next job through")


class ProviderList(BaseModel):
    data: list[ProviderView]


class ModelView(BaseModel):
    name: str
    backend: str
    available: bool | None = Field(description="whether a node of ours takes it now; null when nobody can say")
    limits: dict[str, Any]
    defaults: dict[str, Any]


class ModelList(BaseModel):
    data: list[ModelView]


@router.get("/nodes", summary="Every node that ever registered", responses={200: {"model": NodeList}, **REFUSALS})
async def nodes(request: Request, _caller: Caller) -> Response:
    found = await parts_of(request).scheduler.nodes()
    return JSONResponse({"data": [_node(one) for one in found]}, headers=NO_STORE)


@router.post(
    "/nodes/{node_id}/drain",
    summary="Give a node no new work, or work again",
    responses={200: {"model": NodeView}, **REFUSALS},
    openapi_extra=documented(DrainForm),
)
async def drain(request: Request, _admin: Admin, node_id: str) -> Response:
    """A draining node finishes what it has. Administrators only."""
    form = await read_form(request, DrainForm)
    node = await parts_of(request).scheduler.drain(node_id, form.drain)
    return JSONResponse(_node(node), headers=NO_STORE)


@router.get("/pools", summary="How the pools are doing", responses={200: {"model": PoolList}, **REFUSALS})
async def pools(request: Request, _caller: Caller) -> Response:
    found = await parts_of(request).scheduler.pools()
    return JSONResponse({"data": [_pool(one) for one in found]}, headers=NO_STORE)


@router.get(
    "/providers", summary="Paid providers, in fallback order", responses={200: {"model": ProviderList}, **REFUSALS}
)
async def providers(request: Request, _caller: Caller) -> Response:
    found = await parts_of(request).scheduler.providers()
    return JSONResponse({"data": [_provider(one) for one in found]}, headers=NO_STORE)


@router.get("/models", summary="What can be asked for", responses={200: {"model": ModelList}, **REFUSALS})
async def models(request: Request, _caller: Caller) -> Response:
    """The models, their limits, and whether a node takes them now."""
    try:
        found = await parts_of(request).scheduler.nodes()
    except Unavailable:
        found = None
    return JSONResponse({"data": [_model(rules, found) for rules in MODELS.values()]}, headers=NO_STORE)


def _node(node: pb.Node) -> dict[str, Any]:
    return {
        "id": node.node_id,
        "pool": node.pool,
        "backend": node.backend,
        "device": node.device,
        "models": list(node.models),
        "capacity": node.capacity,
        "running": node.running,
        "connected": node.connected,
        "draining": node.draining,
    }


def _pool(pool: pb.Pool) -> dict[str, Any]:
    return {name: getattr(pool, name) for name in PoolView.model_fields}


def _provider(provider: pb.Provider) -> dict[str, Any]:
    return {
        "backend": provider.backend,
        "breaker": pb.BreakerState.Name(provider.breaker).removeprefix("BREAKER_STATE_").lower(),
        "nodes_ready": provider.nodes_ready,
        "recent_attempts": provider.recent_attempts,
        "recent_failures": provider.recent_failures,
        "retry_at": moment(provider.retry_at.ToDatetime(UTC)) if provider.HasField("retry_at") else None,
    }


def _model(rules: ModelRules, nodes: list[pb.Node] | None) -> dict[str, Any]:
    takes = [
        one.connected and not one.draining and one.backend == rules.backend and rules.name in one.models
        for one in nodes or ()
    ]
    named = vars(rules)
    return {
        "name": rules.name,
        "backend": rules.backend,
        "available": None if nodes is None else any(takes),
        "limits": {
            k: v for k, v in named.items() if k not in ("name", "backend") and not k.startswith("default_")
        },
        "defaults": {k.removeprefix("default_"): v for k, v in named.items() if k.startswith("default_")},
    }
