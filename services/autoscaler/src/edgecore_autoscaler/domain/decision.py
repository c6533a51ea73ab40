"""How many nodes a pool should have, and why in one sentence.

Out at once, in slowly: more nodes as soon as the work asks for them; fewer only when nothing within the scale-in
window asked for more, and never in a burst. A forecast raises the floor and lowers nothing: fewer nodes are
decided by the work alone (AWS predictive scaling's rule).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from edgecore_autoscaler.domain import reactive
from edgecore_autoscaler.domain.forecast import Forecast
from edgecore_autoscaler.domain.memory import Memory
from edgecore_autoscaler.domain.pool import ForecastMode, Load, PoolSpec

STALE_SECONDS = 150.0
"""A snapshot comes at least once a minute; after two missed ones the pool's work is unknown."""


@dataclass(frozen=True)
class Decision:
    """`floor` and `ceiling` bound what the work may ask for; `wanted` is what it asked for."""

    desired: int
    floor: int
    ceiling: int
    wanted: int
    reason: str
    forecast: Forecast | None
    decided_at: datetime


def decide(
    spec: PoolSpec, load: Load | None, current: int, forecast: Forecast | None, memory: Memory, now: datetime
) -> Decision:
    """Decide for a pool that has (or was told to have) `current` nodes; remembers the recommendation."""
    floor = floor_of(spec, forecast)
    if load is None or (now - load.seen_at).total_seconds() > STALE_SECONDS:
        wanted, why = (
            0,
            "nothing heard of the pool" if load is None else f"nothing heard since {load.seen_at:%H:%M:%S}",
        )
        recommended = max(floor, spec.clamp(current))
    else:
        wanted, why = reactive.wanted(load, spec), reactive.sentence(load)
        recommended = max(floor, spec.clamp(wanted))
    memory.note(now, recommended, current, spec.scale_in_window)
    desired, hold = _held(spec, recommended, current, memory, now)
    parts = [why, _floor_words(spec, floor, forecast), *hold]
    if wanted > spec.max_replicas:
        parts.append(f"maxReplicas {spec.max_replicas} holds back {wanted}")
    return Decision(
        desired=desired,
        floor=floor,
        ceiling=spec.max_replicas,
        wanted=wanted,
        reason=f"{desired}: {'; '.join(parts)}",
        forecast=None if spec.forecast_mode is ForecastMode.OFF else forecast,
        decided_at=now,
    )


def floor_of(spec: PoolSpec, forecast: Forecast | None) -> int:
    """minReplicas, or what the forecast says where it may act."""
    if forecast is None or spec.forecast_mode is not ForecastMode.ACT:
        return spec.min_replicas
    return spec.clamp(forecast.nodes)


def _held(spec: PoolSpec, recommended: int, current: int, memory: Memory, now: datetime) -> tuple[int, list[str]]:
    """What is left of a recommendation for fewer nodes, and what held the others."""
    present = spec.clamp(current)
    if recommended >= present:
        return recommended, []
    until = memory.panic_until(now)
    if until:
        return present, [f"a burst is on, none removed before {until:%H:%M:%S}"]
    made_at, highest = memory.highest()
    if highest > recommended:
        held = min(present, highest)
        end = made_at + timedelta(seconds=spec.scale_in_window)
        return held, [f"{recommended} once it has been enough until {end:%H:%M:%S}"]
    return recommended, []


def _floor_words(spec: PoolSpec, floor: int, forecast: Forecast | None) -> str:
    if forecast is None or spec.forecast_mode is ForecastMode.OFF:
        return f"floor {floor}"
    if spec.forecast_mode is ForecastMode.OBSERVE:
        return f"floor {floor} ({forecast} would say {forecast.nodes})"
    if forecast.nodes > spec.min_replicas:
        return f"floor {floor} from {forecast}"
    return f"floor {floor} ({forecast} needs {forecast.nodes})"
