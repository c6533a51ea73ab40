"""A GPUPool's status: what it is doing and why, for `kubectl get` and `kubectl describe`."""

from edgecore_autoscaler.adapters.kubernetes.client import Object
from edgecore_autoscaler.domain.decision import Decision
from edgecore_autoscaler.domain.pool import ForecastMode, PoolSpec


def status_of(
    spec: PoolSpec, decision: Decision, desired: int, ready: int, objection: str, waiting: tuple[str, ...]
) -> Object:
    """`desired` is acted on, `objection` says why it is not what was decided, `waiting` are pods that drain."""
    reason = f"{decision.reason}; {objection}" if objection else decision.reason
    return {
        "desired": desired,
        "ready": ready,
        "floor": decision.floor,
        "ceiling": decision.ceiling,
        "reason": reason,
        "forecast": decision.forecast.as_dict() if decision.forecast else None,
        "conditions": [
            condition("Valid", True, "Accepted", "the spec can be acted on"),
            _enough(desired, ready),
            _draining(waiting, objection),
            _limited(spec, decision),
            _forecasting(spec, decision),
        ],
    }


def invalid(status: Object, problem: str) -> Object:
    """The status of a pool whose spec cannot be acted on: the rest stays as it was."""
    others = [one for one in status.get("conditions", []) if one["type"] != "Valid"]
    return status | {
        "reason": f"left as it is: {problem}",
        "conditions": [condition("Valid", False, "InvalidSpec", problem), *others],
    }


def condition(kind: str, true: bool, reason: str, message: str) -> Object:
    return {"type": kind, "status": "True" if true else "False", "reason": reason, "message": message}


def _enough(desired: int, ready: int) -> Object:
    message = f"{ready} of {desired} nodes are ready"
    return condition("Ready", ready >= desired, "AllReady" if ready >= desired else "Starting", message)


def _draining(waiting: tuple[str, ...], objection: str) -> Object:
    if waiting:
        return condition("Draining", True, "Draining", f"waiting for {', '.join(waiting)}")
    return condition("Draining", False, "HeldBack" if objection else "Settled", objection)


def _limited(spec: PoolSpec, decision: Decision) -> Object:
    limited = decision.wanted > spec.max_replicas
    message = f"the work asks for {decision.wanted}" if limited else ""
    return condition("Limited", limited, "MaxReplicas" if limited else "WithinLimits", message)


def _forecasting(spec: PoolSpec, decision: Decision) -> Object:
    if spec.forecast_mode is ForecastMode.OFF:
        return condition("ForecastAvailable", False, "Off", "")
    if decision.forecast is None:
        return condition("ForecastAvailable", False, "NotEnoughHistory", "needs 24 hours of arrivals")
    return condition("ForecastAvailable", True, spec.forecast_mode.value, f"{decision.forecast}")
