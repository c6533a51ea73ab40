"""The operator against a real cluster: what the API server refuses, and a pool that grows, shrinks and survives.

Needs KUBECONFIG with the right to make namespaces and CRDs. Pods run on simulated nodes (kwok's label and taint)
where there are some, and wait unscheduled otherwise: what is tested is who is made, marked and removed.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore.scheduler.v1.events_pb2 import PoolSnapshot
from edgecore_contracts.cloudevents import Event, timestamp
from edgecore_contracts.errors import NotFound
from edgecore_contracts.topics import POOL_EVENTS
from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.kafka_clients import opened, producer
from edgecore_runtime.testing import eventually

pytestmark = [
    pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="needs a cluster: KUBECONFIG is not set"),
    pytest.mark.timeout(300),
]
together = pytest.mark.asyncio(loop_scope="module")
"""One loop for the tests that tell one pool's story, in order."""

CRD = Path(__file__).parents[2] / "charts/edgecore/templates/gpupool-crd.yaml"
RULES = [
    {"apiGroups": ["edgecore.dev"], "resources": ["gpupools"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["edgecore.dev"], "resources": ["gpupools/status"], "verbs": ["patch"]},
    {"apiGroups": ["edgecore.dev"], "resources": ["gpupools/finalizers"], "verbs": ["update"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
]
"""All that the operator may do; the chart's Role says the same."""

TEMPLATE = {
    "metadata": {"labels": {"app.kubernetes.io/component": "inference"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [{"name": "inference", "image": "edgecore/inference"}],
    },
}
SPEC = {
    "model": "aiprod-nano",
    "minReplicas": 2,
    "maxReplicas": 4,
    "coldStartSeconds": 10,
    "scaleInStabilization": "1s",
    "forecast": {"horizon": "15s"},
}
_numbers = itertools.count(1)


def kubectl(*arguments: str, document: Any = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    text = None if document is None else json.dumps(document)
    answer = subprocess.run(
        ["kubectl", *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0 or not check, answer.stderr
    return answer


def pool(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "edgecore.dev/v1alpha1", "kind": "GPUPool", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def crd() -> Iterator[None]:
    """The chart's CRD, for the time of these tests unless it was there before."""
    existed = kubectl("get", "crd", "gpupools.edgecore.dev", check=False).returncode == 0
    if not existed:
        lines = [line for line in CRD.read_text().splitlines() if not line.startswith("{{")]
        kubectl("apply", "-f", "-", document=yaml.safe_load("\n".join(lines)))
        kubectl("wait", "--for=condition=Established", "crd/gpupools.edgecore.dev", "--timeout=30s")
    yield
    if not existed:
        kubectl("delete", "crd", "gpupools.edgecore.dev", "--wait=true")


@pytest.fixture(scope="module")
def namespace(crd: None) -> Iterator[str]:
    name = f"autoscaler-{os.getpid()}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=true", "--timeout=60s", check=False)


def refused(namespace: str, spec: dict[str, Any]) -> str:
    """What the API server says against a spec; empty when it takes it."""
    answer = kubectl(
        "-n", namespace, "apply", "--dry-run=server", "-f", "-", document=pool("x", spec), check=False
    )
    return answer.stderr if answer.returncode else ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"minReplicas": 5}, "minReplicas must not be above maxReplicas"),
        ({"minReplicas": -1}, "minReplicas"),
        ({"targetUtilisation": 0}, "targetUtilisation must be above 0 and at most 1"),
        ({"targetUtilisation": 1.01}, "targetUtilisation must be above 0 and at most 1"),
        ({"scaleInStabilization": "-1s"}, "scaleInStabilization must not be negative"),
        ({"scaleInStabilization": "soon"}, "scaleInStabilization"),
        ({"forecast": {"horizon": "9s"}}, "forecast.horizon must not be shorter than coldStartSeconds"),
        ({"forecast": {"quantile": 0.5}}, "forecast.quantile must be above 0.5 and below 1"),
        ({"forecast": {"quantile": 1}}, "forecast.quantile must be above 0.5 and below 1"),
        ({"forecast": {"mode": "Maybe"}}, "forecast.mode"),
        ({"pricePerHour": "cheap"}, "pricePerHour"),
        ({"model": None}, "model"),
    ],
)
def test_the_api_server_refuses(namespace: str, change: dict[str, Any], says: str) -> None:
    assert says in refused(namespace, SPEC | change)


@pytest.mark.parametrize("change", [{}, {"targetUtilisation": 1}, {"forecast": {"mode": "Off"}}])
def test_the_api_server_accepts(namespace: str, change: dict[str, Any]) -> None:
    assert refused(namespace, SPEC | change) == ""


def test_defaults_and_what_cannot_change(namespace: str) -> None:
    kubectl("-n", namespace, "apply", "-f", "-", document=pool("defaults", {"model": "aiprod-nano"}))
    made = json.loads(kubectl("-n", namespace, "get", "gpupool", "defaults", "-o", "json").stdout)["spec"]
    assert made["forecast"] == {"mode": "Observe", "horizon": "5m", "quantile": 0.9}
    assert (made["backend"], made["minReplicas"], made["maxReplicas"]) == ("aiprod", 1, 1)
    for name in ("backend", "model", "device"):
        answer = kubectl(
            "-n",
            namespace,
            "patch",
            "gpupool",
            "defaults",
            "--type=merge",
            "-p",
            json.dumps({"spec": {name: "other"}}),
            check=False,
        )
        assert f"{name} cannot be changed" in answer.stderr
    kubectl("-n", namespace, "delete", "gpupool", "defaults")


@dataclass
class Scheduler(scheduler_pb2_grpc.SchedulerServiceServicer):
    """A stand-in over a real connection: nodes by id, each with its jobs."""

    running: dict[str, int] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)
    busy_on_drain: bool = False
    """A node gets its next job in the moment before it is drained."""

    async def ListPools(self, request: pb.ListPoolsRequest, context: Any) -> pb.ListPoolsResponse:
        ready = len(self.running) - len(self.draining)
        jobs = sum(jobs for node, jobs in self.running.items() if node not in self.draining)
        return pb.ListPoolsResponse(
            pools=[pb.Pool(pool="gpus", backend="aiprod", running=jobs, nodes_ready=ready, capacity=ready)]
        )

    async def ListNodes(self, request: pb.ListNodesRequest, context: Any) -> pb.ListNodesResponse:
        return pb.ListNodesResponse(nodes=[self._node(name) for name in self.running])

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Any) -> pb.DrainNodeResponse:
        if request.node_id not in self.running:
            raise NotFound("no such node")
        if request.drain and request.node_id not in self.draining:
            self.running[request.node_id] += self.busy_on_drain
        (self.draining.add if request.drain else self.draining.discard)(request.node_id)
        return pb.DrainNodeResponse(node=self._node(request.node_id))

    def _node(self, name: str) -> pb.Node:
        return pb.Node(
            node_id=name,
            pool="gpus",
            capacity=1,
            running=self.running[name],
            connected=True,
            draining=name in self.draining,
        )


@dataclass
class House:
    """One namespace with an operator or several, and the events that they hear."""

    namespace: str
    environment: dict[str, str]
    scheduler: Scheduler
    server: GrpcServer
    bootstrap: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        number = next(_numbers)
        with (self.folder / f"operator-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edgecore_autoscaler", "serve"], env=self.environment, stderr=log
            )
        self.processes.append(process)
        return process

    def log(self, number: int) -> str:
        return sorted(self.folder.glob("operator-*.log"))[number].read_text()

    async def say(self, **load: Any) -> None:
        """What the scheduler tells of its pool."""
        nodes = len(self.scheduler.running)
        told = pb.Pool(pool="gpus", backend="aiprod", **({"nodes_ready": nodes, "capacity": nodes} | load))
        now = datetime.now(UTC)
        event = Event(
            new_id("evt"), "edgecore/test", now, "gpus", PoolSnapshot(pool=told, occurred_at=timestamp(now))
        )
        headers = [(name, value.encode()) for name, value in event.headers().items()]
        async with opened(producer(self.bootstrap)) as kafka:
            await kafka.send_and_wait(POOL_EVENTS, key=b"gpus", value=event.body(), headers=headers)

    async def json(self, *arguments: str) -> Any:
        answer = await asyncio.to_thread(kubectl, "-n", self.namespace, *arguments, "-o", "json", check=False)
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    async def replicas(self) -> int | None:
        found = await self.json("get", "deployment", "inference-gpus")
        return found["spec"]["replicas"] if found else None

    async def pods(self) -> dict[str, Any]:
        """Annotations of the living pods, by name."""
        found = await self.json("get", "pods", "-l", "edgecore.dev/pool=gpus")
        living = [one["metadata"] for one in found["items"] if "deletionTimestamp" not in one["metadata"]]
        return {meta["name"]: meta.get("annotations", {}) for meta in living}

    async def status(self) -> Any:
        found = await self.json("get", "gpupool", "gpus")
        return (found or {}).get("status", {})

    async def events(self) -> set[str]:
        found = await self.json("get", "events", "--field-selector", "involvedObject.name=gpus")
        return {one["reason"] for one in found["items"]}

    async def until_replicas(self, count: int, seconds: float = 60) -> None:
        async def reached() -> bool:
            return await self.replicas() == count

        await eventually(reached, seconds)

    async def until_pods(self, count: int) -> dict[str, Any]:
        async def reached() -> Any:
            pods = await self.pods()
            return len(pods) == count and pods

        found: dict[str, Any] = await eventually(reached, 60)
        return found

    async def until_reason(self, words: str) -> Any:
        async def told() -> Any:
            status = await self.status()
            return words in status.get("reason", "") and status

        return await eventually(told, 60)


def kubeconfig(namespace: str, folder: Path) -> Path:
    """The operator's own account with its rules and nothing more."""
    metadata = {"name": "operator", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": namespace}
    role = {"apiGroup": group, "kind": "Role", "name": "operator"}
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": RULES},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [subject],
        },
    ]
    kubectl("apply", "-f", "-", document={"apiVersion": "v1", "kind": "List", "items": objects})
    token = kubectl("-n", namespace, "create", "token", "operator", "--duration=1h").stdout.strip()
    admin = json.loads(kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json").stdout)
    admin["users"] = [{"name": "operator", "user": {"token": token}}]
    admin["contexts"][0]["context"] |= {"user": "operator", "namespace": namespace}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(admin))
    assert base64.b64decode(admin["clusters"][0]["cluster"]["certificate-authority-data"])
    return path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedParts]:
    with embedded_parts(tmp_path_factory.mktemp("operator-parts")) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    namespace: str, parts: EmbeddedParts, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("operator")
    (folder / "pod.yaml").write_text(yaml.safe_dump(TEMPLATE))
    scheduler = Scheduler()
    server = GrpcServer(
        "127.0.0.1", 0, [], lambda one: scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(scheduler, one)
    )
    await server.start()
    environment = dict(os.environ) | {
        "KUBECONFIG": str(kubeconfig(namespace, folder)),
        "EDGECORE_DATABASE_URL": parts.database_url("operator"),
        "EDGECORE_KAFKA_BOOTSTRAP": parts.kafka_bootstrap,
        "EDGECORE_KAFKA_SESSION_TIMEOUT": "2",
        "EDGECORE_MIGRATE_ON_START": "true",
        "EDGECORE_HTTP_PORT": "0",
        "EDGECORE_RECONCILE_INTERVAL": "0.5",
        "EDGECORE_KUBERNETES": "true",
        "EDGECORE_KUBERNETES_NAMESPACE": namespace,
        "EDGECORE_POD_TEMPLATE": str(folder / "pod.yaml"),
        "EDGECORE_SCHEDULER_ADDRESS": f"127.0.0.1:{server.port}",
    }
    made = House(namespace, environment, scheduler, server, parts.kafka_bootstrap, folder)
    made.start()
    try:
        yield made
    finally:
        for process in made.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        await made.server.stop()


@together
async def test_a_pool_gets_its_nodes(house: House) -> None:
    kubectl("-n", house.namespace, "apply", "-f", "-", document=pool("gpus", SPEC))
    await house.until_replicas(2)
    made = await house.json("get", "deployment", "inference-gpus", "--show-managed-fields")
    assert made["metadata"]["ownerReferences"][0]["kind"] == "GPUPool"
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "EDGECORE_POOL", "value": "gpus"} in container["env"]
    managers = {one["manager"]: one["operation"] for one in made["metadata"]["managedFields"]}
    assert managers["edgecore-autoscaler"] == "Apply"
    house.scheduler.running |= dict.fromkeys(await house.until_pods(2), 0)


@together
async def test_it_grows_with_its_queue_and_says_why(house: House) -> None:
    await house.say(queued=14, queued_seconds=35.0)
    await house.until_replicas(3)
    status = await house.until_reason("3: queue of 14 jobs (35 s of work) over 2 nodes; floor 2")
    assert (status["desired"], status["floor"], status["ceiling"]) == (3, 2, 4)
    assert "ScaledOut" in await house.events()
    table = kubectl("-n", house.namespace, "get", "gpupool", "gpus").stdout
    assert "queue of 14 jobs" in table
    house.scheduler.running |= dict.fromkeys(set(await house.until_pods(3)) - set(house.scheduler.running), 0)


@together
async def test_the_deployment_is_its_own(house: House) -> None:
    """Whoever changes by hand what it applies is corrected, by the same small steps."""
    kubectl("-n", house.namespace, "scale", "deployment", "inference-gpus", "--replicas=4")
    await house.say(queued=14, queued_seconds=35.0)
    labels = json.dumps({"metadata": {"labels": {"edgecore.dev/pool": "mine"}}})
    kubectl("-n", house.namespace, "patch", "deployment", "inference-gpus", "-p", labels)

    async def corrected() -> bool:
        made = await house.json("get", "deployment", "inference-gpus")
        label = made["metadata"]["labels"]["edgecore.dev/pool"]
        return bool(made["spec"]["replicas"] == 3 and label == "gpus")

    await eventually(corrected, 60)

    async def settled() -> Any:
        made = await house.json("get", "deployment", "inference-gpus")
        pods = await house.pods()
        marked = [name for name, notes in pods.items() if "edgecore.dev/draining-since" in notes]
        return made["status"].get("observedGeneration") == made["metadata"]["generation"] and (
            len(pods) == 3 and not marked and pods
        )

    house.scheduler.draining.clear()
    house.scheduler.running = dict.fromkeys(await eventually(settled, 90), 0)


@together
async def test_a_node_is_drained_before_it_goes(house: House) -> None:
    """Two nodes work. The third gets a job in the moment before its drain, and is waited for."""
    first, second, third = sorted(house.scheduler.running)
    house.scheduler.running |= {first: 1, second: 1}
    house.scheduler.busy_on_drain = True
    await house.say(running=2)

    async def draining() -> bool:
        return house.scheduler.draining == {third}

    await eventually(draining, 60)
    assert await house.replicas() == 3
    notes = (await house.pods())[third]
    assert notes["controller.kubernetes.io/pod-deletion-cost"] == "-1"
    conditions = {one["type"]: one for one in (await house.status())["conditions"]}
    assert third in conditions["Draining"]["message"]

    house.scheduler.running[third] = 0
    await house.until_replicas(2)
    assert set(await house.until_pods(2)) == {first, second}
    assert {"Draining", "ScaledIn"} <= await house.events()
    del house.scheduler.running[third]
    house.scheduler.draining.clear()


@together
async def test_demand_that_returns_takes_the_node_back(house: House) -> None:
    kubectl(
        "-n", house.namespace, "patch", "gpupool", "gpus", "--type=merge", "-p", '{"spec": {"minReplicas": 1}}'
    )
    first, second = sorted(house.scheduler.running)
    house.scheduler.running |= {first: 1, second: 0}
    await house.say(running=1)

    async def draining() -> bool:
        return house.scheduler.draining == {second}

    await eventually(draining, 60)
    await house.say(running=1, queued=10, queued_seconds=22.0)

    async def taken_back() -> bool:
        return not house.scheduler.draining and not (await house.pods())[second].get("edgecore.dev/draining-since")

    await eventually(taken_back, 60)
    assert await house.replicas() == 2
    assert "Undrained" in await house.events()


@together
async def test_nothing_is_removed_while_the_scheduler_is_away(house: House) -> None:
    house.scheduler.busy_on_drain = False
    port = house.server.port
    await house.server.stop()
    await house.say(running=0)
    await house.until_reason("the scheduler is away")
    assert await house.replicas() == 2
    house.server = GrpcServer(
        "127.0.0.1",
        port,
        [],
        lambda one: scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server(house.scheduler, one),
    )
    await house.server.start()
    house.scheduler.running = dict.fromkeys(house.scheduler.running, 0)
    await house.until_replicas(1)


@together
async def test_of_two_operators_one_acts_and_the_other_takes_over(house: House) -> None:
    house.scheduler.running = dict.fromkeys(await house.until_pods(1), 0)
    leader = house.processes[0]
    house.start()

    async def follows() -> bool:
        lease = await house.json("get", "lease", "edgecore-autoscaler")
        return f"-{leader.pid}-" in lease["spec"]["holderIdentity"] and '"started"' in house.log(1)

    await eventually(follows, 60)
    leader.send_signal(signal.SIGKILL)
    leader.wait()
    await house.say(queued=14, queued_seconds=35.0)
    await house.until_replicas(3, seconds=90)
    assert "leading" in house.log(1)
    assert "tick failed" not in house.log(1)


@together
async def test_a_pool_can_be_deleted_while_no_operator_runs(house: House) -> None:
    """No finalizer holds it; its nodes go with it."""
    for process in house.processes:
        process.send_signal(signal.SIGTERM)
    assert house.processes[1].wait(30) == 0
    kubectl("-n", house.namespace, "delete", "gpupool", "gpus", "--timeout=30s")

    async def gone() -> bool:
        return await house.replicas() is None and not await house.pods()

    await eventually(gone, 60)
