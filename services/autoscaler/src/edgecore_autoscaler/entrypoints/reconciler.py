"""One tick of one GPUPool: read, decide, re-validate, act, tell.

Idempotent: what it must remember of its own acts is written in the cluster.
"""

from collections import Counter
from datetime import timedelta

from edgecore_autoscaler.adapters.kubernetes.children import Children, Size
from edgecore_autoscaler.adapters.kubernetes.client import Object
from edgecore_autoscaler.adapters.kubernetes.pools import Pools
from edgecore_autoscaler.adapters.kubernetes.status import invalid, status_of
from edgecore_autoscaler.adapters.pool_specs import read_spec
from edgecore_autoscaler.adapters.scheduler import Scheduler
from edgecore_autoscaler.domain.drain import Plan, plan
from edgecore_autoscaler.domain.pool import Load, PoolSpec
from edgecore_autoscaler.domain.validation import Verdict, revalidate
from edgecore_autoscaler.scaling import Scaling
from edgecore_contracts.errors import InvalidInput
from edgecore_runtime.clock import Clock


class Reconciler:
    """Brings a pool one step nearer to what it should be. Raises KubernetesError, and what a database raises."""

    def __init__(
        self,
        scaling: Scaling,
        pools: Pools,
        children: Children,
        scheduler: Scheduler,
        clock: Clock,
        drain_limit: float,
    ) -> None:
        self._scaling = scaling
        self._pools = pools
        self._children = children
        self._scheduler = scheduler
        self._clock = clock
        self._drain_limit = timedelta(seconds=drain_limit)
        self._models: dict[str, str] = {}

    async def tick(self, name: str) -> bool:
        """False when the pool is gone. The spec is read anew: a watch may have been deaf."""
        pool = await self._pools.get(name)
        if pool is None or "deletionTimestamp" in pool["metadata"]:
            self.forget(name)
            return False
        try:
            spec = read_spec(name, pool["spec"])
        except InvalidInput as error:
            await self._refuse(pool, error.detail)
            return True
        await self._size(pool, spec)
        return True

    def forget(self, name: str) -> None:
        self._models.pop(name, None)
        self._scaling.forget(name)

    async def _size(self, pool: Object, spec: PoolSpec) -> None:
        self._models[spec.name] = spec.model
        share = Counter(self._models.values())[spec.model]
        size = await self._children.size(spec.name) or Size(spec.min_replicas, 0, frozenset())
        current = size.replicas
        load = await self._scaling.load(spec, share)
        decision = await self._scaling.decide(spec, load, current, share)
        verdict = revalidate(decision, spec, current, await self._fresh(spec, load, decision.desired < current))
        step = await self._plan(spec, verdict, size)
        await self._act(pool, spec, step, current, decision.reason)
        waiting = step.waiting if step.replicas > verdict.desired or step.mark else ()
        status = status_of(spec, decision, verdict.desired, size.ready, verdict.objection, waiting)
        await self._pools.tell(pool, status)

    async def _fresh(self, spec: PoolSpec, load: Load | None, fewer: bool) -> Load | None:
        """What the scheduler says now; asked only before nodes are removed."""
        if not fewer:
            return None
        return await self._scheduler.load(spec.name, load.seconds_per_job if load else 0.0, self._clock.now())

    async def _plan(self, spec: PoolSpec, verdict: Verdict, size: Size) -> Plan:
        pods = await self._children.pods(spec.name)
        if verdict.desired >= size.replicas and not any(pod.marked_at for pod in pods):
            return Plan(verdict.desired)
        nodes = await self._scheduler.nodes(spec.name)
        if nodes is None:
            return Plan(max(size.replicas, verdict.desired), released=tuple(sorted(size.released)))
        now = self._clock.now()
        return plan(size.replicas, verdict.desired, pods, size.released, nodes, now, self._drain_limit)

    async def _act(self, pool: Object, spec: PoolSpec, step: Plan, current: int, why: str) -> None:
        """Marks before drains, undrains before unmarks, the size last: any of it can be the last that happens."""
        for pod in step.mark:
            await self._children.mark(pod, self._clock.now())
        for node in step.drain:
            await self._scheduler.drain(node, True)
        for pod in step.undrain:
            if await self._scheduler.drain(pod, False):
                await self._children.unmark(pod)
        await self._children.apply(pool, spec, step)
        if step.mark:
            await self._pools.event(pool, "Draining", f"{', '.join(step.mark)} take no more work. {why}")
        if step.undrain:
            await self._pools.event(pool, "Undrained", f"{', '.join(step.undrain)} may stay. {why}")
        if step.replicas != current:
            reason = "ScaledOut" if step.replicas > current else "ScaledIn"
            await self._pools.event(pool, reason, f"{current} → {step.replicas}. {why}")

    async def _refuse(self, pool: Object, problem: str) -> None:
        """Nothing is done to a pool whose spec is not understood; said once a generation."""
        before = pool.get("status") or {}
        status = invalid(before, problem)
        if before.get("reason") != status["reason"]:
            await self._pools.event(pool, "InvalidSpec", problem, warning=True)
        await self._pools.tell(pool, status)
