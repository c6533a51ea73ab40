"""Every test folder of the house shares the runtime's testing kit and one rule for the tiers."""

import os

import pytest

# Before anything imports torch: idle OpenMP threads that spin keep the cores from the processes under test.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

pytest_plugins = ["edgecore_runtime.testing"]

PROCESSES = frozenset(
    {"embedded", "parts", "scheduler", "start_node", "start_agent", "run_up", "base_url", "local_stack", "start"}
)
"""Fixtures that start processes; a test that uses one belongs to the tier `local`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.local)
