"""Components start in order, stop in reverse, and one that fails takes the service with it."""

import asyncio
import os
import signal

import pytest

from edgecore_runtime.health import Health
from edgecore_runtime.service import Background, RunningService, Service
from edgecore_runtime.testing import eventually


class Recorder:
    """A component that notes its life."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self._notes = notes
        self.broken = asyncio.Event()

    async def start(self) -> None:
        self._notes.append(f"{self.name} starts")

    async def stop(self) -> None:
        self._notes.append(f"{self.name} stops")

    async def wait_failed(self) -> None:
        await self.broken.wait()


class Refusing(Recorder):
    async def start(self) -> None:
        raise OSError("no")


async def test_order() -> None:
    notes: list[str] = []
    service = Service("x", [Recorder("a", notes), Recorder("b", notes)], Health())
    async with RunningService(service):
        assert notes == ["a starts", "b starts"]
    assert notes[2:] == ["b stops", "a stops"]


async def test_what_had_started_stops_when_a_later_part_refuses() -> None:
    notes: list[str] = []
    service = Service("x", [Recorder("a", notes), Refusing("b", notes)], Health())
    with pytest.raises(OSError, match="no"):
        await RunningService(service).__aenter__()
    assert notes == ["a starts", "b stops", "a stops"]


async def test_a_failed_component_ends_the_service_with_status_1() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    notes: list[str] = []
    service = Service("x", [Recorder("a", notes), Background("b", fail)], Health())
    assert await asyncio.wait_for(service.run(), 5) == 1
    assert notes == ["a starts", "a stops"]


async def test_sigterm_means_not_ready_then_a_clean_end() -> None:
    notes: list[str] = []
    service = Service("x", [Recorder("a", notes)], Health(), drain_delay=0.05)
    run = asyncio.create_task(service.run())
    await eventually(lambda: notes == ["a starts"])
    os.kill(os.getpid(), signal.SIGTERM)
    await eventually(lambda: service.health.stopping)
    assert await asyncio.wait_for(run, 5) == 0
    assert notes == ["a starts", "a stops"]
