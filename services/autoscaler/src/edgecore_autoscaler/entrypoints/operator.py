"""One timer per GPUPool.

Kopf's own timers put a finalizer on each object, which an operator that is away leaves behind: the pool could not
be deleted. These need none. A watch can go deaf without a word, so the pools are listed now and then as well, and
liveness compares: every pool that exists must have had its tick.
"""

import asyncio
import random

from edgecore_autoscaler.adapters.kubernetes.client import KubernetesError
from edgecore_autoscaler.adapters.kubernetes.lease import Lease
from edgecore_autoscaler.adapters.kubernetes.pools import Pools
from edgecore_autoscaler.entrypoints.reconciler import Reconciler
from edgecore_autoscaler.scaling import Scaling
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import is_transient

LIST_SECONDS = 30.0
TICK_SECONDS = 60.0
"""The longest one tick may take: a handful of requests of at most 10 seconds."""
SILENT_SECONDS = 180.0

log = logs.get(__name__)


class Operator:
    """Keeps the timers. Only the replica that holds the lease acts; the others stand by."""

    def __init__(
        self,
        reconciler: Reconciler,
        pools: Pools,
        lease: Lease,
        scaling: Scaling,
        interval: float,
        clock: Clock,
    ) -> None:
        self._reconciler = reconciler
        self._pools = pools
        self._lease = lease
        self._scaling = scaling
        self._interval = interval
        self._clock = clock
        self._timers: dict[str, asyncio.Task[None]] = {}
        self.ticked: dict[str, float] = {}
        """When each pool's timer last came round, by the monotonic clock."""
        self._watched: set[str] = set()
        self._deaf_since: float | None = None
        self.listed_at = clock.monotonic()
        self._lister: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._lister = asyncio.create_task(self._list_now_and_then(), name="pools")

    async def stop(self) -> None:
        tasks = [*self._timers.values(), *([self._lister] if self._lister else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_failed(self) -> None:
        assert self._lister is not None
        await asyncio.shield(self._lister)

    def seen(self, name: str, exists: bool) -> None:
        """The watch told of a pool."""
        if exists:
            self._watched.add(name)
            self._ensure(name)
        else:
            self._watched.discard(name)

    async def check(self) -> str | None:
        """A liveness check: every pool had its tick lately, and the watch knows every pool."""
        now = self._clock.monotonic()
        if now - self.listed_at > SILENT_SECONDS:
            return f"pools not listed for {now - self.listed_at:.0f} s"
        late = [name for name, at in self.ticked.items() if now - at > SILENT_SECONDS + self._interval]
        if late:
            return f"no tick lately for {', '.join(sorted(late))}"
        if self._deaf_since is not None and now - self._deaf_since > SILENT_SECONDS:
            return "the watch does not know all pools"
        return None

    def _ensure(self, name: str) -> None:
        if name not in self._timers:
            self.ticked[name] = self._clock.monotonic()
            self._timers[name] = asyncio.create_task(self._timer(name), name=f"pool {name}")

    async def _timer(self, name: str) -> None:
        """Tick until the pool is gone."""
        exists = True
        while exists:
            exists = await self._tick(name)
            self.ticked[name] = self._clock.monotonic()
            if exists:
                await asyncio.sleep(self._interval * random.uniform(0.9, 1.1))
        del self._timers[name], self.ticked[name]
        self._watched.discard(name)
        log.info("pool gone", pool=name)

    async def _tick(self, name: str) -> bool:
        """One tick, if it is ours to act; what fails is said and tried again with the next."""
        if not self._lease.held:
            return name in self._watched or await self._exists(name)
        try:
            async with asyncio.timeout(TICK_SECONDS):
                return await self._reconciler.tick(name)
        except KubernetesError as error:
            log.warning("tick failed", pool=name, error=str(error))
        except Exception as error:
            if not is_transient(error):
                log.exception("tick failed", pool=name)
            else:
                log.warning("tick waits for the database", pool=name, error=repr(error))
        return True

    async def _exists(self, name: str) -> bool:
        try:
            return await self._pools.get(name) is not None
        except KubernetesError:
            return True

    async def _list_now_and_then(self) -> None:
        while True:
            try:
                names = await self._pools.names()
                for name in names:
                    self._ensure(name)
                deaf = bool(names - self._watched)
                self._deaf_since = (self._deaf_since or self._clock.monotonic()) if deaf else None
                await self._scaling.prune()
            except KubernetesError as error:
                log.warning("pools could not be listed", error=str(error))
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("history not pruned", error=repr(error))
            self.listed_at = self._clock.monotonic()
            await asyncio.sleep(LIST_SECONDS)
