"""Every test folder of the house shares the runtime's testing kit and one rule for the tiers."""

import pytest

pytest_plugins = ["edgecore_runtime.testing"]

PROCESSES = frozenset(
    {"embedded", "parts", "scheduler", "start_node", "start_agent", "run_up", "base_url", "local_stack", "start"}
)
"""Fixtures that start processes; a test that uses one belongs to the tier `local`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.local)
