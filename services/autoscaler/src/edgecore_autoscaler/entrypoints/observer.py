"""Without a cluster: look at the pools of a file at each tick, decide, and tell."""

import asyncio
from collections import Counter

from edgecore_autoscaler.domain.pool import PoolSpec
from edgecore_autoscaler.scaling import Scaling
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import is_transient

SILENT_TICKS = 12

log = logs.get(__name__)


class Observer:
    """Changes nothing; the nodes that a pool has are those that the scheduler counts."""

    def __init__(self, scaling: Scaling, pools: list[PoolSpec], interval: float, clock: Clock) -> None:
        self._scaling = scaling
        self._pools = pools
        self._share = Counter(pool.model for pool in pools)
        self._interval = interval
        self._clock = clock
        self._last_tick = clock.monotonic()

    async def run(self) -> None:
        """Tick until cancelled; a database that is away is waited for."""
        while True:
            try:
                await self.tick()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("pools wait for the database", error=repr(error))
            self._last_tick = self._clock.monotonic()
            await asyncio.sleep(self._interval)

    async def tick(self) -> None:
        """Decide for every pool once."""
        for pool in self._pools:
            share = self._share[pool.model]
            load = await self._scaling.load(pool, share)
            await self._scaling.decide(pool, load, current=load.ready if load else 0, share=share)
        await self._scaling.prune()

    async def check(self) -> str | None:
        """A liveness check: a tick must have been lately."""
        silent = self._clock.monotonic() - self._last_tick
        return f"no tick for {silent:.0f} s" if silent > SILENT_TICKS * self._interval + 60 else None
