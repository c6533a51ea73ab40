"""GPUPools: reading them, writing their status, and Events that say why."""

from typing import Any

from edgecore_autoscaler.adapters.kubernetes.client import FIELD_MANAGER, Kubernetes, Object
from edgecore_runtime.clock import Clock
from edgecore_runtime.ids import new_id

GROUP, VERSION, PLURAL, KIND = "edgecore.dev", "v1alpha1", "gpupools", "GPUPool"
TIME = "%Y-%m-%dT%H:%M:%SZ"
LONGEST_MESSAGE = 1000


class Pools:
    """The GPUPools of one namespace."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, clock: Clock) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._clock = clock
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"

    async def names(self) -> set[str]:
        """Which there are; none where the CRD is not installed yet."""
        found = await self._kubernetes.get(self._path)
        return {item["metadata"]["name"] for item in found["items"]} if found else set()

    async def get(self, name: str) -> Object | None:
        return await self._kubernetes.get(f"{self._path}/{name}")

    async def tell(self, pool: Object, status: Object) -> None:
        """Write the status where it differs; a condition keeps its transition time while its status stays."""
        before = pool.get("status") or {}
        known = {one["type"]: one for one in before.get("conditions", [])}
        now = self._clock.now().strftime(TIME)
        for condition in status["conditions"]:
            old = known.get(condition["type"])
            same = old is not None and old["status"] == condition["status"]
            condition["lastTransitionTime"] = old["lastTransitionTime"] if old and same else now
        status["observedGeneration"] = pool["metadata"]["generation"]
        if status != before:
            path = f"{self._path}/{pool['metadata']['name']}/status"
            await self._kubernetes.merge(path, {"status": status})

    async def event(self, pool: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """A Kubernetes Event on the pool: `kubectl describe gpupool` shows it."""
        now = self._clock.now().strftime(TIME)
        metadata = pool["metadata"]
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": new_id(metadata["name"]).replace("_", ".").lower(), "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": metadata["name"],
                "namespace": self._namespace,
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:LONGEST_MESSAGE],
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._kubernetes.create(f"/api/v1/namespaces/{self._namespace}/events", body)
