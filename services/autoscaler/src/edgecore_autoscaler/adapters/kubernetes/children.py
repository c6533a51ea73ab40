"""A pool's children: one Deployment of inference pods, and the marks on pods that are to go."""

import copy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from edgecore_autoscaler.adapters.kubernetes.client import FIELD_MANAGER, Kubernetes, Object
from edgecore_autoscaler.adapters.kubernetes.pools import GROUP, KIND, VERSION
from edgecore_autoscaler.domain.drain import Plan, Pod
from edgecore_autoscaler.domain.pool import PoolSpec
from edgecore_contracts.errors import FieldProblem, InvalidInput

POOL_LABEL = "edgecore.dev/pool"
MARK = "edgecore.dev/draining-since"
RELEASED = "edgecore.dev/released"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
CONTAINER = "inference"
GPU = "nvidia.com/gpu"


def read_template(path: str) -> Object:
    """The PodTemplateSpec of a node. Raises InvalidInput, or OSError for a file that is not there."""
    template = yaml.safe_load(Path(path).read_text())
    containers = (template or {}).get("spec", {}).get("containers", []) if isinstance(template, dict) else []
    if not any(container.get("name") == CONTAINER for container in containers):
        raise InvalidInput([FieldProblem(path, f"must be a PodTemplateSpec with a container {CONTAINER!r}")])
    assert isinstance(template, dict)
    return template


@dataclass(frozen=True)
class Size:
    """A Deployment's: how many pods it is told to have, how many are ready, and whom it let go lately."""

    replicas: int
    ready: int
    released: frozenset[str]


def deployment_of(pool: Object, spec: PoolSpec, template: Object, step: Plan) -> Object:
    """The Deployment of the pool's nodes: the template with the pool's name and device filled in."""
    pod = copy.deepcopy(template)
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = (metadata.get("labels") or {}) | {POOL_LABEL: spec.name}
    container = next(one for one in pod["spec"]["containers"] if one["name"] == CONTAINER)
    others = [one for one in container.get("env", []) if one["name"] != "EDGECORE_POOL"]
    container["env"] = [*others, {"name": "EDGECORE_POOL", "value": spec.name}]
    if spec.device != "cpu":
        # The label of NVIDIA's GPU feature discovery; a node runs on one GPU unless the template says otherwise.
        pod["spec"]["nodeSelector"] = (pod["spec"].get("nodeSelector") or {}) | {f"{GPU}.product": spec.device}
        container.setdefault("resources", {}).setdefault("limits", {}).setdefault(GPU, "1")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name_of(spec.name),
            "labels": metadata["labels"] | {"app.kubernetes.io/managed-by": FIELD_MANAGER},
            "annotations": {RELEASED: ",".join(step.released)},
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": spec.name,
                    "uid": pool["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "replicas": step.replicas,
            "selector": {"matchLabels": {POOL_LABEL: spec.name}},
            # GPUs may all be taken: an upgrade replaces one node at a time, with a spare one where there is room.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": pod,
        },
    }


def name_of(pool: str) -> str:
    return f"inference-{pool}"


class Children:
    """The Deployments and pods of one namespace's pools."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, template: Object) -> None:
        self._kubernetes = kubernetes
        self._deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._template = template

    async def size(self, pool: str) -> Size | None:
        """Of the pool's Deployment; None when there is none."""
        found = await self._kubernetes.get(f"{self._deployments}/{name_of(pool)}")
        if found is None:
            return None
        released = (found["metadata"].get("annotations") or {}).get(RELEASED, "")
        ready = (found.get("status") or {}).get("readyReplicas", 0)
        return Size(found["spec"]["replicas"], ready, frozenset(filter(None, released.split(","))))

    async def apply(self, pool: Object, spec: PoolSpec, step: Plan) -> None:
        """Make the Deployment as it should be, whoever changed it meanwhile; nothing happens when it is so."""
        body = deployment_of(pool, spec, self._template, step)
        await self._kubernetes.apply(f"{self._deployments}/{name_of(spec.name)}", body)

    async def pods(self, pool: str) -> list[Pod]:
        """The pool's pods that are to live."""
        found = await self._kubernetes.get(self._pods, labelSelector=f"{POOL_LABEL}={pool}")
        metas = [item["metadata"] for item in (found or {"items": []})["items"]]
        return [
            Pod(meta["name"], _time((meta.get("annotations") or {}).get(MARK)))
            for meta in metas
            if "deletionTimestamp" not in meta
        ]

    async def mark(self, pod: str, since: datetime) -> None:
        """The pod is to go: the ReplicaSet takes it first, and a later tick knows that it was chosen."""
        await self._annotate(pod, {MARK: since.isoformat(), DELETION_COST: "-1"})

    async def unmark(self, pod: str) -> None:
        await self._annotate(pod, {MARK: None, DELETION_COST: None})

    async def _annotate(self, pod: str, annotations: dict[str, str | None]) -> None:
        await self._kubernetes.merge(f"{self._pods}/{pod}", {"metadata": {"annotations": annotations}})


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
