"""What the API server takes and refuses of a GPUPool, by the CRD's own rules."""

import json
from typing import Any

import pytest

from .cluster import kubectl, run
from .operators import SPEC, pool


def refused(pools_namespace: str, spec: dict[str, Any]) -> str:
    """What the API server says against a spec; empty when it takes it."""
    command = ("kubectl", "-n", pools_namespace, "apply", "--dry-run=server", "-f", "-")
    answer = run(*command, document=pool("x", spec), check=False)
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
def test_the_api_server_refuses(pools_namespace: str, change: dict[str, Any], says: str) -> None:
    assert says in refused(pools_namespace, SPEC | change)


@pytest.mark.parametrize("change", [{}, {"targetUtilisation": 1}, {"forecast": {"mode": "Off"}}])
def test_the_api_server_accepts(pools_namespace: str, change: dict[str, Any]) -> None:
    assert refused(pools_namespace, SPEC | change) == ""


def test_defaults_and_what_cannot_change(pools_namespace: str) -> None:
    kubectl("-n", pools_namespace, "apply", "-f", "-", document=pool("defaults", {"model": "aiprod-nano"}))
    made = json.loads(kubectl("-n", pools_namespace, "get", "gpupool", "defaults", "-o", "json"))["spec"]
    assert made["forecast"] == {"mode": "Observe", "horizon": "5m", "quantile": 0.9}
    assert (made["backend"], made["minReplicas"], made["maxReplicas"]) == ("aiprod", 1, 1)
    for name in ("backend", "model", "device"):
        patch = json.dumps({"spec": {name: "other"}})
        command = ("kubectl", "-n", pools_namespace, "patch", "gpupool", "defaults", "--type=merge", "-p", patch)
        answer = run(*command, check=False)
        assert f"{name} cannot be changed" in answer.stderr
    kubectl("-n", pools_namespace, "delete", "gpupool", "defaults")
