"""GET /pools: what each pool should have, and why."""

from typing import Any

from fastapi import APIRouter

from edgecore_autoscaler.domain.decision import Decision
from edgecore_autoscaler.domain.pool import Load, PoolSpec
from edgecore_autoscaler.scaling import Scaling
from edgecore_contracts import money


def router(scaling: Scaling, mode: str) -> APIRouter:
    """`mode`: observe (decides and tells) or act (sizes pools in a cluster)."""
    routes = APIRouter()

    @routes.get("/pools")
    async def pools() -> dict[str, Any]:
        return {"data": [_pool(*scaling.latest[name], mode) for name in sorted(scaling.latest)]}

    return routes


def _pool(spec: PoolSpec, load: Load | None, decision: Decision, mode: str) -> dict[str, Any]:
    return {
        "name": spec.name,
        "model": spec.model,
        "backend": spec.backend,
        "mode": mode,
        "desired": decision.desired,
        "ready": load.ready if load else 0,
        "running": load.running if load else 0,
        "queued": load.queued if load else 0,
        "queued_seconds": round(load.queued_seconds, 3) if load else 0.0,
        "floor": decision.floor,
        "ceiling": decision.ceiling,
        "price_per_hour": money.text(spec.price_per_hour * decision.desired),
        "forecast_mode": spec.forecast_mode.value,
        "forecast": decision.forecast.as_dict() if decision.forecast else None,
        "reason": decision.reason,
        "decided_at": decision.decided_at.isoformat(),
    }
