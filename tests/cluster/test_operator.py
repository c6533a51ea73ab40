"""A pool of no nodes: a job waits, a node appears, makes the video and goes; what was seen when is kept."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgecore_sdk import Client

from .cluster import RELEASE, ROOT, House, get, kubectl

pytestmark = pytest.mark.timeout(600)

POOL = "trial"
SPEC = {
    "model": "aiprod-nano",
    "device": "cpu",
    "minReplicas": 0,
    "maxReplicas": 1,
    "coldStartSeconds": 10,
    "scaleInStabilization": "5s",
    "forecast": {"mode": "Off", "horizon": "60s"},
}
TIMELINE = ROOT / "build" / "cluster" / "operator.json"
SECONDS = 300.0


@pytest.fixture
def empty_house(house: House) -> Iterator[House]:
    """No fixed nodes, and one pool that may have none."""
    fixed = f"deployment/{RELEASE}-inference"
    kubectl("-n", house.namespace, "scale", fixed, "--replicas=0")
    kubectl(
        "-n",
        house.namespace,
        "wait",
        "--for=delete",
        "pod",
        "-l",
        _component("inference"),
        "--timeout=90s",
        seconds=100,
    )
    pool = {"apiVersion": "edgecore.dev/v1alpha1", "kind": "GPUPool", "metadata": {"name": POOL}, "spec": SPEC}
    kubectl("-n", house.namespace, "apply", "-f", "-", document=pool)
    try:
        yield house
    finally:
        kubectl("-n", house.namespace, "delete", "gpupool", POOL, "--wait=true", seconds=90)
        kubectl("-n", house.namespace, "scale", fixed, "--replicas=1")


def _component(name: str) -> str:
    return f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={name}"


class Timeline:
    """What was true when, in seconds since the job was submitted; only changes are kept."""

    def __init__(self, house: House, client: Client, job_id: str) -> None:
        self._house = house
        self._client = client
        self._job_id = job_id
        self._began = time.monotonic()
        self.seen: list[dict[str, Any]] = []

    def look(self) -> dict[str, Any]:
        state = {"job": self._client.status(self._job_id).state, **self._pool(), "pods": self._pods()}
        if not self.seen or {key: value for key, value in self.seen[-1].items() if key != "at"} != state:
            self.seen.append({"at": round(time.monotonic() - self._began, 1)} | state)
        return state

    def until(self, what: str, **wanted: Any) -> float:
        """Seconds at which all of `wanted` was true."""
        deadline = time.monotonic() + SECONDS
        while True:
            # The API server and the gateway's tunnel may be slow; another look is due at once.
            with suppress(httpx.TransportError):
                state = self.look()
                if all(state[key] == value for key, value in wanted.items()):
                    return float(self.seen[-1]["at"])
            assert time.monotonic() < deadline, f"{what}: {json.dumps(self.seen, indent=1)}"
            time.sleep(0.5)

    def _pool(self) -> dict[str, Any]:
        status = get("gpupool", POOL, "-n", self._house.namespace).get("status", {})
        return {name: status.get(name) for name in ("desired", "ready", "reason")}

    def _pods(self) -> int:
        return len(get("pods", "-n", self._house.namespace, "-l", f"edgecore.dev/pool={POOL}")["items"])


def test_a_node_comes_for_a_job_and_goes_after_it(empty_house: House) -> None:
    with Client(empty_house.url, empty_house.api_key) as client:
        job = client.generate("a red circle moving right", frames=5, steps=4)
        timeline = Timeline(empty_house, client, job.id)
        moments = {"wanted": timeline.until("no node was asked for", desired=1)}
        moments["pod"] = timeline.until("no pod was made", pods=1)
        moments["delivered"] = timeline.until("the job was not done", job="DELIVERED")
        moments["unwanted"] = timeline.until("the node is still wanted", desired=0)
        moments["gone"] = timeline.until("the pod stayed", pods=0)
        done = client.status(job.id)
    failed = sum(attempt.outcome != "SUCCEEDED" for attempt in done.attempts)
    story = {"moments": moments, "timeline": timeline.seen, "failed_attempts": failed}
    _keep(story | {"events": _events(empty_house)}, TIMELINE)
    assert list(moments.values()) == sorted(moments.values())
    assert [attempt.outcome for attempt in done.attempts] == ["SUCCEEDED"]
    assert all(one["pods"] <= 1 for one in timeline.seen), "never above maxReplicas"
    assert all(one["reason"] for one in timeline.seen if one["desired"] is not None), "every size has a reason"


def _events(house: House) -> list[str]:
    """What the operator said of the pool, oldest first."""
    found = get("events", "-n", house.namespace, "--field-selector", f"involvedObject.name={POOL}")["items"]
    return [
        f"{one['reason']}: {one['message']}" for one in sorted(found, key=lambda one: one["lastTimestamp"] or "")
    ]


def _keep(story: dict[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(story, indent=2) + "\n")
