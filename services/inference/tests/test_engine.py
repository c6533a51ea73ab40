"""Starting an engine, and what the node says meanwhile."""

from pathlib import Path

import httpx
import psutil
import pytest

from edgecore_inference.adapters.engine_process import CheckpointUnusable, EngineNotStarted, EngineProcess
from edgecore_inference.bootstrap import build
from edgecore_inference.settings import Settings
from edgecore_runtime.testing import eventually

from .conftest import STANDIN, Node
from .fake_scheduler import FakeScheduler


def children() -> set[int]:
    """This process's children; the testing kit may have some of its own."""
    return {child.pid for child in psutil.Process().children()}


async def test_an_engine_that_loads_too_long_is_killed(tmp_path: Path) -> None:
    before = children()
    with pytest.raises(EngineNotStarted, match=r"was not ready after 0\.3 s"):
        await EngineProcess.launch([*STANDIN, f"wait:{tmp_path}/never"], start_seconds=0.3, grace_seconds=1.0)
    assert children() <= before


async def test_an_engine_without_its_model() -> None:
    before = children()
    with pytest.raises(CheckpointUnusable, match=r"corrupt/model\.safetensors: its SHA-256"):
        await EngineProcess.launch([*STANDIN, "corrupt"], start_seconds=60.0, grace_seconds=1.0)
    assert children() <= before


async def test_a_program_that_is_no_engine() -> None:
    with pytest.raises(EngineNotStarted, match="broke the protocol: b'hello"):
        await EngineProcess.launch(["/bin/echo", "hello"], start_seconds=60.0, grace_seconds=1.0)


async def test_not_ready_and_not_registered_until_the_model_is_loaded(
    settings: Settings, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    loaded = tmp_path / "loaded"
    service = build(settings.model_copy(update={"checkpoint": f"wait:{loaded}"}), engine=STANDIN)
    node = Node(service, tmp_path)
    starting = node.start()
    await eventually(lambda: node.engine_pid() is not None)
    async with httpx.AsyncClient(base_url=node.url) as client:
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["failures"] == {
            "engine": "the engine is loading its model",
            "scheduler": "not registered with the scheduler",
        }
        assert (await client.get("/health/live")).status_code == 200
        assert not scheduler.registrations()
        loaded.touch()
        await starting
        await eventually(scheduler.registrations)
        await eventually(lambda: scheduler.connected)
    await node.leave()
