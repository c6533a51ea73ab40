"""The supervisor's patience: how often, how fast and in which order, with tiny programs as children."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecore_cli import keeper
from edgecore_cli.keeper import Change, Phase
from edgecore_cli.supervisor import Supervisor
from edgecore_runtime.embedded.part import Account, PartFailed, until
from edgecore_runtime.testing import eventually

WAITS = "import sys; sys.stdin.read()"
DIES_ONCE_READY = "import time; time.sleep(0.05)"


class Program:
    """Python code as a part, ready when `ready` says so."""

    url = ""
    account: Account | None = None
    stop_signal = signal.SIGTERM
    orphan_signal = signal.SIGTERM

    def __init__(self, name: str, code: str, ready: Callable[[], bool] = lambda: True) -> None:
        self.name = name
        self._code = code
        self._ready = ready

    async def prepare(self) -> None:
        """Nothing."""

    def argv(self) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", self._code]

    def environment(self) -> dict[str, str]:
        return {}

    async def wait_ready(self, deadline_s: float) -> None:
        async def ready() -> bool:
            return self._ready()

        await until(ready, deadline_s)


class Fixture:
    def __init__(self, logs: Path) -> None:
        self.changes: list[Change] = []
        self.supervisor = Supervisor(logs, [], self.changes.append)

    def of(self, phase: Phase) -> list[Change]:
        return [change for change in self.changes if change.phase is phase]


@pytest.fixture
def stack(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


async def test_stages_end_in_reverse_order(stack: Fixture) -> None:
    await stack.supervisor.start([Program("first", WAITS)])
    await stack.supervisor.start(
        [Program("second", WAITS), Program("also second", WAITS)], [Program("third", WAITS)]
    )
    await stack.supervisor.stop()
    ended = [change.name for change in stack.of(Phase.STOPPED)]
    assert [ended[0], set(ended[1:3]), ended[3]] == ["third", {"second", "also second"}, "first"]


async def test_a_child_that_never_gets_ready_is_given_up(stack: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "READY_DEADLINE_S", 0.1)
    monkeypatch.setattr(keeper, "FIRST_BACKOFF_S", 0.01)
    deaf = Program("deaf", "print('cannot hear', flush=True);" + WAITS, ready=lambda: False)
    with pytest.raises(PartFailed, match="deaf was not ready"):
        await asyncio.wait_for(stack.supervisor.start([deaf]), 60)
    await stack.supervisor.stop()
    assert len(stack.of(Phase.STARTING)) == keeper.READY_ATTEMPTS


async def test_hasty_deaths_are_restarted_at_once_and_then_ever_slower(
    stack: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "FIRST_BACKOFF_S", 0.02)
    await stack.supervisor.start([Program("hasty", DIES_ONCE_READY)])
    await eventually(lambda: len(stack.of(Phase.DIED)) >= 5, 60)
    await stack.supervisor.stop()
    waits = [change.seconds for change in stack.of(Phase.DIED)][:5]
    assert waits[0] == 0.0
    assert waits[1:] == sorted(waits[1:])
    assert waits[4] == pytest.approx(0.16, rel=0.25)


async def test_a_given_up_child_ends_the_watch_over_the_others(
    stack: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "FIRST_BACKOFF_S", 0.01)
    well = True
    await stack.supervisor.start([Program("steady", WAITS)])
    await stack.supervisor.start([Program("weak", DIES_ONCE_READY, ready=lambda: well)])
    well = False
    with pytest.raises(PartFailed, match="weak exited with code 0"):
        await asyncio.wait_for(stack.supervisor.watch(), 60)
    await stack.supervisor.stop()
    assert [change.name for change in stack.of(Phase.STOPPED)] == ["weak", "steady"]
