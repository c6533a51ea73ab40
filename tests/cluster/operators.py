"""Operators of the autoscaler as processes, in a namespace of a real cluster, and the scheduler that they ask."""

import asyncio
import base64
import itertools
import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore.scheduler.v1 import scheduler_pb2_grpc
from edgecore.scheduler.v1.events_pb2 import PoolSnapshot
from edgecore_contracts.cloudevents import Event, timestamp
from edgecore_contracts.errors import NotFound
from edgecore_contracts.topics import POOL_EVENTS
from edgecore_runtime.grpc_server import GrpcServer
from edgecore_runtime.ids import new_id
from edgecore_runtime.kafka_clients import opened, producer
from edgecore_runtime.testing import eventually

from .cluster import kubectl

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
SPEC = {
    "model": "aiprod-nano",
    "minReplicas": 2,
    "maxReplicas": 4,
    "coldStartSeconds": 10,
    "scaleInStabilization": "1s",
    "forecast": {"horizon": "15s"},
}
_numbers = itertools.count(1)


def pool(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "edgecore.dev/v1alpha1", "kind": "GPUPool", "metadata": metadata, "spec": spec}


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
class Operators:
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
        found = await asyncio.to_thread(kubectl, "-n", self.namespace, *arguments, "-o", "json", check=False)
        return json.loads(found) if found else None

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
    token = kubectl("-n", namespace, "create", "token", "operator", "--duration=1h").strip()
    admin = json.loads(kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
    admin["users"] = [{"name": "operator", "user": {"token": token}}]
    admin["contexts"][0]["context"] |= {"user": "operator", "namespace": namespace}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(admin))
    assert base64.b64decode(admin["clusters"][0]["cluster"]["certificate-authority-data"])
    return path
