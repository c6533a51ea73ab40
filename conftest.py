"""Every test folder of the house shares the runtime's testing kit and one rule for the tiers."""

import os

import pytest
import structlog
from hypothesis import HealthCheck, settings

from edgecore_runtime.embedded import ports

# Each worker has ports of its own to choose from.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    each = (ports.LAST + 1 - ports.FIRST) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    first = ports.FIRST + int(worker.removeprefix("gw")) * each
    os.environ[ports.RANGE] = f"{first}-{first + each - 1}"

# Before anything imports torch: idle OpenMP threads that spin keep the cores from the processes under test.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# As it comes, structlog writes every frame's variables below an error: seconds each, on the loop under test.
plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])

# A machine that does other work is no finding: one example took 0.3 s in the middle of 1 ms ones.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

pytest_plugins = ["edgecore_runtime.testing"]

PROCESSES = frozenset(
    {"embedded", "parts", "scheduler", "start_node", "start_agent", "run_up", "base_url", "local_stack", "start"}
)
"""Fixtures that start processes; a test that uses one belongs to the tier `local`."""

PARTS = frozenset({"embedded", "parts"})
"""Those that are PostgreSQL, broker and Redis: with EDGECORE_TEST_REAL real ones, and nothing else is run."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.local)
    # Last, so that the session's loop does not stand still under a service while other tests have theirs: its
    # Kafka clients would wake up beside a broker that has forgotten them.
    items.sort(key=_on_the_sessions_loop)
    if os.environ.get("EDGECORE_TEST_REAL"):
        others = [item for item in items if not _on_real_parts(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _on_real_parts(item)]


def _on_the_sessions_loop(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("asyncio")
    return marker is not None and marker.kwargs.get("loop_scope") == "session"


def _on_real_parts(item: pytest.Item) -> bool:
    """Whether it says anything about the real parts; what is about the embedded ones themselves does not."""
    about_embedded = "embedded" in item.path.name or item.get_closest_marker("log_in_memory")
    return not about_embedded and bool(PARTS & set(getattr(item, "fixturenames", ())))
