"""The chart on a real cluster: needs a kubeconfig, helm and kubectl, and images that its nodes can get.

Asked for by EDGECORE_TEST_CLUSTER=1 (`make test-cluster` does), as nobody wants this to happen by accident to the
cluster that they happen to be logged in to.

    EDGECORE_IMAGE_REPOSITORY, EDGECORE_IMAGE_TAG               which images; default edgecore, dev
    EDGECORE_POSTGRES_IMAGE, _KAFKA_IMAGE, _REDIS_IMAGE         the trial parts'; default the chart's
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edgecore_gateway.domain.api_keys import new_key

from .cluster import CHART, House, kubectl, namespace, objects_volume

collect_ignore_glob = [] if os.environ.get("EDGECORE_TEST_CLUSTER") else ["test_*.py"]


@pytest.fixture(scope="session")
def restricted() -> Iterator[str]:
    """An empty namespace that admits only pods of Pod Security "restricted"."""
    with namespace("edgecore-restricted") as name:
        yield name


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """All seven services and trial parts, installed as a release named `edgecore`, ready."""
    with namespace("edgecore-house") as name, objects_volume(name, Path(tmp_path_factory.mktemp("objects"))):
        key, password = new_key().text, secrets.token_urlsafe(24)
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "first-admin"},
            "stringData": {"password": password, "api-key": key},
        }
        kubectl("-n", name, "apply", "-f", "-", document=secret)
        house = House(name, key, password)
        try:
            house.install()
            with house.forwarded():
                yield house
        finally:
            house.describe()
            house.uninstall()


@pytest.fixture(scope="module")
def crd() -> Iterator[None]:
    """The chart's CRD, for the time of these tests unless it was there before."""
    existed = bool(kubectl("get", "crd", "gpupools.edgecore.dev", "--ignore-not-found"))
    if not existed:
        lines = [
            line
            for line in (CHART / "templates" / "gpupool-crd.yaml").read_text().splitlines()
            if not line.startswith("{{")
        ]
        kubectl("apply", "-f", "-", document=yaml.safe_load("\n".join(lines)))
        kubectl("wait", "--for=condition=Established", "crd/gpupools.edgecore.dev", "--timeout=30s")
    yield
    if not existed:
        kubectl("delete", "crd", "gpupools.edgecore.dev", "--wait=true")


@pytest.fixture(scope="module")
def pools_namespace(crd: None) -> Iterator[str]:
    """Where pods need no more than the tests give them."""
    name = f"autoscaler-{os.getpid()}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=true", "--timeout=60s", check=False)
