"""The installed house: the same end-to-end suite as on a laptop, and the promises of an upgrade."""

import pytest

from tests.e2e.suite import end_to_end_suite

from .cluster import RELEASE, House, get, helm

pytestmark = pytest.mark.timeout(900)


def test_every_service_is_ready(house: House) -> None:
    told = helm("test", RELEASE, "-n", house.namespace, "--timeout", "120s", seconds=150).stdout
    assert "Phase:          Succeeded" in told, told


def test_nothing_had_to_be_started_again(house: House) -> None:
    """A service waits for no other in order to start, and so none dies while the others come up."""
    for pod in house.pods("app.kubernetes.io/name=edgecore"):
        for container in pod["status"]["containerStatuses"]:
            assert container["restartCount"] == 0, (pod["metadata"]["name"], container["lastState"])


def test_the_end_to_end_suite_passes(house: House) -> None:
    end_to_end_suite(house.url, house.api_key, house.password)


def test_an_upgrade_keeps_passwords(house: House) -> None:
    def secrets() -> dict[str, object]:
        found = get("secrets", "-n", house.namespace, "-l", f"app.kubernetes.io/instance={RELEASE}")["items"]
        return {one["metadata"]["name"]: one["data"] for one in found}

    before = secrets()
    house.install()
    assert f"{RELEASE}-trial" in before
    assert secrets() == before
