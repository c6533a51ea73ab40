"""Deciding for each pool, with what the database knows; the same with a cluster and without one."""

from datetime import datetime, timedelta

from prometheus_client import Gauge

from edgecore_autoscaler.adapters.demand import Demand
from edgecore_autoscaler.adapters.snapshots import Snapshots
from edgecore_autoscaler.domain.decision import Decision, decide
from edgecore_autoscaler.domain.forecast import BUCKET, Forecast, forecast, series, start_of
from edgecore_autoscaler.domain.memory import Memory
from edgecore_autoscaler.domain.pool import ForecastMode, Load, PoolSpec
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database

PRUNE_SECONDS = 3600.0

desired_nodes = Gauge("edgecore_pool_desired", "Nodes that a pool should have", ["pool"])
floor_nodes = Gauge("edgecore_pool_floor", "Nodes below which nothing takes a pool now", ["pool"])
ready_nodes = Gauge("edgecore_pool_ready", "Nodes of a pool that take work", ["pool"])
forecast_error = Gauge(
    "edgecore_pool_forecast_error", "GPUs busy in the last 10 minutes, less what the season before said", ["pool"]
)

log = logs.get(__name__)


class Scaling:
    """The pools' decisions. Keeps what they remember; a restart begins anew and removes nothing for a while."""

    def __init__(self, database: Database, clock: Clock, history_days: int, seconds_per_job: float) -> None:
        self._database = database
        self._clock = clock
        self._history = timedelta(days=history_days)
        self._seconds_per_job = seconds_per_job
        self._demand = Demand()
        self._snapshots = Snapshots()
        self._memories: dict[str, Memory] = {}
        self._forecasts: dict[tuple[PoolSpec, int, int], tuple[datetime, Forecast | None]] = {}
        self._next_prune = 0.0
        self.latest: dict[str, tuple[PoolSpec, Load | None, Decision]] = {}
        """What was decided last, by pool."""

    async def load(self, spec: PoolSpec, share: int) -> Load | None:
        """The pool's work; of one never heard of, what arrived lately, over the `share` pools of its model."""
        now = self._clock.now()
        async with self._database.reading() as session:
            known = await self._snapshots.get(session, spec.name, self._seconds_per_job)
            if known is not None:
                return known
            jobs, work = await self._demand.since(session, spec.model, now - timedelta(seconds=spec.horizon))
        if jobs == 0:
            return None
        return Load(-(-jobs // share), work / share, 0, 0, 1, work / jobs, now, reported=False)

    async def decide(self, spec: PoolSpec, load: Load | None, current: int, share: int = 1) -> Decision:
        """Decide, tell the metrics, and log where the decision changed."""
        now = self._clock.now()
        ahead = await self._forecast(spec, load.slots if load else 1, share, now)
        memory = self._memories.setdefault(spec.name, Memory(now, current))
        decision = decide(spec, load, current, ahead, memory, now)
        desired_nodes.labels(spec.name).set(decision.desired)
        floor_nodes.labels(spec.name).set(decision.floor)
        ready_nodes.labels(spec.name).set(load.ready if load else 0)
        if ahead is not None:
            forecast_error.labels(spec.name).set(ahead.error)
        before = self.latest.get(spec.name)
        if before is None or (before[2].desired, before[2].floor) != (decision.desired, decision.floor):
            log.info("pool decided", pool=spec.name, desired=decision.desired, reason=decision.reason)
        self.latest[spec.name] = (spec, load, decision)
        return decision

    def forget(self, name: str) -> None:
        """The pool is gone."""
        self.latest.pop(name, None)
        self._memories.pop(name, None)
        for gauge in (desired_nodes, floor_nodes, ready_nodes, forecast_error):
            gauge.remove_by_labels({"pool": name})

    async def prune(self) -> None:
        """Forget arrivals older than the history, once an hour."""
        now = self._clock.monotonic()
        if now < self._next_prune:
            return
        self._next_prune = now + PRUNE_SECONDS
        async with self._database.transaction() as session:
            await self._demand.prune(session, self._clock.now() - self._history)

    async def _forecast(self, spec: PoolSpec, slots: int, share: int, now: datetime) -> Forecast | None:
        """Made anew with each bucket: nothing that it is made from changes in between."""
        if spec.forecast_mode is ForecastMode.OFF:
            return None
        made_at, known = self._forecasts.get((spec, slots, share), (None, None))
        if made_at == start_of(now):
            return known
        async with self._database.reading() as session:
            rows = await self._demand.buckets(session, spec.model, now - self._history, BUCKET)
        made = forecast(series([(start, work / share) for start, work in rows], now), spec, slots, now)
        self._forecasts = {key: one for key, one in self._forecasts.items() if key[0].name != spec.name}
        self._forecasts[spec, slots, share] = (start_of(now), made)
        return made
