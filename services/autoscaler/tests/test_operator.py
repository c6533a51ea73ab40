"""The operator without a cluster: an API server of dictionaries, and the scheduler over real gRPC.

tests/cluster/test_autoscaler.py tells the same story to a real one.
"""

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore_autoscaler.adapters.kubernetes.children import Children, read_template
from edgecore_autoscaler.adapters.kubernetes.client import KubernetesError
from edgecore_autoscaler.adapters.kubernetes.lease import DURATION, HELD_SECONDS, Lease
from edgecore_autoscaler.adapters.kubernetes.pools import Pools
from edgecore_autoscaler.adapters.scheduler import Scheduler
from edgecore_autoscaler.domain.decision import Decision, decide
from edgecore_autoscaler.domain.memory import Memory
from edgecore_autoscaler.domain.pool import Load, PoolSpec
from edgecore_autoscaler.entrypoints.operator import SILENT_SECONDS, Operator
from edgecore_autoscaler.entrypoints.reconciler import Reconciler
from edgecore_contracts.errors import InvalidInput
from edgecore_runtime.clock import FakeClock
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.testing import eventually

POOLS = "/apis/edgecore.dev/v1alpha1/namespaces/ns/gpupools"
DEPLOYMENT = "/apis/apps/v1/namespaces/ns/deployments/inference-gpus"
PODS = "/api/v1/namespaces/ns/pods"
TEMPLATE = {"spec": {"containers": [{"name": "inference", "image": "edgecore/inference", "env": []}]}}


class ApiServer:
    """Objects by path, with resource versions; `fail_on` makes the next writes to a path fail."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.away = False
        self.fail_on = "never"
        self._version = 0

    async def get(self, path: str, **query: str) -> dict[str, Any] | None:
        self._answer("")
        if path in (POOLS, PODS):
            return {"items": [copy.deepcopy(one) for at, one in self.objects.items() if at.startswith(f"{path}/")]}
        return copy.deepcopy(self.objects.get(path))

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._answer(path)
        if path.endswith("/events"):
            self.events.append(body)
            return body
        at = f"{path}/{body['metadata']['name']}"
        if at in self.objects:
            raise KubernetesError(409, "exists")
        return self._store(at, body)

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._answer(path)
        if self.objects[path]["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise KubernetesError(409, "changed meanwhile")
        return self._store(path, body)

    async def merge(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._answer(path)
        path = path.removesuffix("/status")
        return self._store(path, _merged(self.objects[path], body))

    async def apply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._answer(path)
        return self._store(path, body)

    def _answer(self, path: str) -> None:
        if self.away or path.startswith(self.fail_on):
            raise KubernetesError(0, "away")

    def _store(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        stored = copy.deepcopy(body)
        stored["metadata"] = stored.get("metadata", {}) | {"resourceVersion": str(self._version)}
        self.objects[path] = stored
        return stored


def _merged(old: Any, new: Any) -> Any:
    """RFC 7396."""
    if not isinstance(new, dict):
        return new
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


@dataclass
class Nodes(scheduler_pb2_grpc.SchedulerServiceServicer):
    """The scheduler's side: jobs by node."""

    running: dict[str, int] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)

    async def ListPools(self, request: pb.ListPoolsRequest, context: Any) -> pb.ListPoolsResponse:
        return pb.ListPoolsResponse(pools=[pb.Pool(pool="gpus", running=sum(self.running.values()))])

    async def ListNodes(self, request: pb.ListNodesRequest, context: Any) -> pb.ListNodesResponse:
        return pb.ListNodesResponse(
            nodes=[
                pb.Node(node_id=name, pool="gpus", running=jobs, connected=True, draining=name in self.draining)
                for name, jobs in self.running.items()
            ]
        )

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Any) -> pb.DrainNodeResponse:
        (self.draining.add if request.drain else self.draining.discard)(request.node_id)
        return pb.DrainNodeResponse()


class Scaling:
    """Decides as the real one does, from a load that the test sets and no history."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._memory: Memory | None = None
        self.work = (0, 0.0, 0)

    async def load(self, spec: PoolSpec, share: int) -> Load:
        queued, seconds, running = self.work
        return Load(queued, seconds, running, 2, 1, 2.5, self._clock.now())

    async def decide(self, spec: PoolSpec, load: Load, current: int, share: int) -> Decision:
        self._memory = self._memory or Memory(self._clock.now(), current)
        return decide(spec, load, current, None, self._memory, self._clock.now())

    def forget(self, name: str) -> None:
        self._memory = None

    async def prune(self) -> None:
        pass


class House:
    """A reconciler and what it acts on."""

    def __init__(self, api: ApiServer, nodes: Nodes, server: GrpcServer, scheduler: Scheduler) -> None:
        self.clock = FakeClock()
        self.api, self.nodes, self.server = api, nodes, server
        self.scaling = Scaling(self.clock)
        kubernetes: Any = api
        scaling: Any = self.scaling
        self.pools = Pools(kubernetes, "ns", self.clock)
        children = Children(kubernetes, "ns", TEMPLATE)
        self.reconciler = Reconciler(scaling, self.pools, children, scheduler, self.clock, 960.0)
        self.lease = Lease(kubernetes, "ns", self.clock)
        self.operator = Operator(self.reconciler, self.pools, self.lease, scaling, 0.02, self.clock)

    def pool(self, **change: Any) -> None:
        spec = {"model": "aiprod-nano", "maxReplicas": 4, "minReplicas": 1, "coldStartSeconds": 10}
        spec |= {"scaleInStabilization": "1s", "forecast": {"horizon": "15s"}} | change
        metadata = {"name": "gpus", "uid": "u-1", "generation": 1, "resourceVersion": "0"}
        self.api.objects[f"{POOLS}/gpus"] = {"metadata": metadata, "spec": spec}

    def sized(self, replicas: int, **running: int) -> None:
        """A Deployment with a pod and a connected node for each of `running`."""
        made = {"metadata": {}, "spec": {"replicas": replicas}, "status": {"readyReplicas": replicas}}
        self.api.objects[DEPLOYMENT] = made
        for name in running:
            self.api.objects[f"{PODS}/{name}"] = {"metadata": {"name": name}}
        self.nodes.running |= running

    async def tick(self, seconds: float = 5.0) -> bool:
        self.clock.advance(seconds)
        return await self.reconciler.tick("gpus")

    async def ticks(self, count: int) -> None:
        for _ in range(count):
            await self.tick()

    @property
    def replicas(self) -> int:
        return int(self.api.objects[DEPLOYMENT]["spec"]["replicas"])

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.api.objects[f"{POOLS}/gpus"].get("status", {}))

    @property
    def marked(self) -> set[str]:
        pods = [one["metadata"] for path, one in self.api.objects.items() if path.startswith(f"{PODS}/")]
        return {one["name"] for one in pods if "edgecore.dev/draining-since" in one.get("annotations", {})}

    @property
    def events(self) -> list[str]:
        return [one["reason"] for one in self.api.events]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    nodes = Nodes()
    server = GrpcServer(
        "127.0.0.1", 0, [], lambda one: scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(nodes, one)
    )
    await server.start()
    scheduler = Scheduler(f"127.0.0.1:{server.port}")
    await scheduler.start()
    try:
        yield House(ApiServer(), nodes, server, scheduler)
    finally:
        await scheduler.stop()
        await server.stop()


async def test_a_new_pool_gets_its_nodes_and_a_status(house: House) -> None:
    house.pool(minReplicas=2, device="NVIDIA-H100-80GB-HBM3")
    await house.tick()
    made = house.api.objects[DEPLOYMENT]
    pod = made["spec"]["template"]
    assert house.replicas == 2
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert pod["metadata"]["labels"] == {"edgecore.dev/pool": "gpus"}
    assert pod["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
    assert pod["spec"]["containers"][0]["env"] == [{"name": "EDGECORE_POOL", "value": "gpus"}]
    conditions = {one["type"]: one["status"] for one in house.status["conditions"]}
    assert conditions == {
        "Valid": "True",
        "Ready": "False",
        "Draining": "False",
        "Limited": "False",
        "ForecastAvailable": "False",
    }
    assert TEMPLATE["spec"]["containers"][0]["env"] == [], "the template itself stays as it was"


async def test_out_at_once_and_in_by_drain(house: House) -> None:
    house.pool()
    house.sized(1, a=1)
    house.scaling.work = (14, 35.0, 1)
    await house.tick()
    assert house.replicas == 4
    assert house.status["reason"].startswith("4: queue of 14 jobs (35 s of work)")
    house.sized(4, b=0, c=0, d=0)
    house.scaling.work = (0, 0.0, 1)
    await house.tick(120)
    assert (house.marked, house.nodes.draining) == ({"b", "c", "d"}, {"b", "c", "d"})
    assert house.replicas == 4, "drained first"
    await house.tick()
    assert house.replicas == 1
    assert house.events == ["ScaledOut", "Draining", "ScaledIn"]


@pytest.mark.parametrize("fails", [f"{PODS}/b", DEPLOYMENT, "/api/v1/namespaces/ns/events"])
async def test_a_tick_that_dies_half_way_is_finished_by_the_next(house: House, fails: str) -> None:
    house.pool()
    house.sized(2, a=1, b=0)
    house.scaling.work = (0, 0.0, 1)
    await house.tick()
    house.api.fail_on = fails
    with pytest.raises(KubernetesError):
        await house.ticks(3)
    house.api.fail_on = "never"
    await house.ticks(3)
    assert house.replicas == 1
    assert "a" not in house.nodes.draining


async def test_a_node_that_does_not_drain_goes_at_the_limit(house: House) -> None:
    house.pool()
    house.sized(2, a=1, b=0)
    house.scaling.work = (0, 0.0, 1)
    await house.tick()
    await house.tick()
    house.nodes.running = {"a": 0, "b": 1}
    await house.tick(900)
    assert house.replicas == 2
    await house.tick(70)
    assert house.replicas == 1


async def test_a_pool_with_a_bad_spec_is_left_as_it_is(house: House) -> None:
    house.pool(minReplicas=9)
    house.sized(3, a=0)
    await house.tick()
    await house.tick()
    assert house.replicas == 3
    assert "minReplicas must not be above maxReplicas" in house.status["reason"]
    assert house.events == ["InvalidSpec"], "said once"


async def test_a_deleted_pool_ends_its_timer(house: House) -> None:
    assert not await house.tick()


async def test_timers_run_for_the_holder_of_the_lease_alone(house: House) -> None:
    house.pool()
    await house.operator.start()
    try:
        house.operator.seen("gpus", True)
        await eventually(lambda: house.operator.ticked)
        assert DEPLOYMENT not in house.api.objects
        await house.lease.renew()
        await eventually(lambda: DEPLOYMENT in house.api.objects)
        assert await house.operator.check() is None
        del house.api.objects[f"{POOLS}/gpus"]
        await eventually(lambda: not house.operator.ticked)
    finally:
        await house.operator.stop()


async def test_liveness_finds_a_deaf_watch(house: House) -> None:
    """The pool is listed, and the watch never told of it."""
    house.pool()
    await house.operator.start()
    try:
        await eventually(lambda: house.operator.ticked)
        house.operator.listed_at += 10_000
        house.clock.advance(SILENT_SECONDS + 1)
        await eventually(lambda: house.operator.ticked["gpus"] > SILENT_SECONDS)
        assert await house.operator.check() == "the watch does not know all pools"
    finally:
        await house.operator.stop()


async def test_never_two_holders() -> None:
    """Each renews in turn; a cut holder stops counting before the other may take over."""
    api: Any = ApiServer()
    clock = FakeClock()
    first, second = Lease(api, "ns", clock), Lease(api, "ns", clock)
    await first.renew()
    await second.renew()
    assert (first.held, second.held) == (True, False)
    for _ in range(10):
        clock.advance(3)
        await first.renew()
        await second.renew()
        assert (first.held, second.held) == (True, False)
    clock.advance(HELD_SECONDS + 1)
    assert not first.held
    await second.renew()
    assert not second.held, "not yet: the duration is longer than what a renewal counts for"
    clock.advance(DURATION - HELD_SECONDS)
    await second.renew()
    assert (first.held, second.held) == (False, True)
    await second.release()
    await first.renew()
    assert first.held, "given back: no wait"


async def test_an_api_server_that_is_away_costs_the_lease_and_readiness() -> None:
    api: Any = ApiServer()
    clock = FakeClock()
    lease = Lease(api, "ns", clock)
    await lease.renew()
    api.away = True
    clock.advance(31)
    await lease.renew()
    assert not lease.held
    assert await lease.check() == "no answer from Kubernetes for 31 s"


@pytest.mark.parametrize("text", ["", "spec: {}", "spec: {containers: [{name: other}]}", "[]"])
def test_a_template_needs_its_container(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match="container 'inference'"):
        read_template(str(file))
