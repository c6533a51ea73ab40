"""Children end with their parent, however it ends, and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edgecore_runtime.embedded.part import Account, PartFailed, until
from edgecore_runtime.embedded.process import PARENT_PIPE, Child
from edgecore_runtime.testing import eventually, is_gone

SLEEPER = "import sys, time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER

# A parent that starts one child, says its pid, and waits to be killed.
PARENT = """
import asyncio, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from program import Program
from edgecore_runtime.embedded.process import Child

async def main():
    child = Child(Program({code!r}, Path({log!r})), Path({log!r}))
    await child.ready(20)
    print(child.pid, flush=True)
    await child.exited()

asyncio.run(main())
"""

WATCHING = """
from edgecore_runtime.embedded.process import exit_when_parent_dies
exit_when_parent_dies(grace_s=0.2)
"""


class Program:
    """Python code as a part; ready when it has written `ready`."""

    name = "program"
    url = ""
    account: Account | None = None
    stop_signal = signal.SIGTERM
    orphan_signal = signal.SIGTERM

    def __init__(self, code: str, log: Path) -> None:
        self._code = code
        self._log = log

    async def prepare(self) -> None:
        """Nothing."""

    def argv(self) -> list[str]:
        return [sys.executable, "-c", self._code]

    def environment(self) -> dict[str, str]:
        return {PARENT_PIPE: "1"}

    async def wait_ready(self, deadline_s: float) -> None:
        async def said() -> bool:
            return "ready" in self._log.read_text()

        await until(said, deadline_s)


def program(tmp_path: Path, code: str) -> Child:
    log = tmp_path / "program.log"
    return Child(Program(code, log), log)


def start_and_kill(source: str) -> psutil.Process:
    """The child of a parent that is dead now."""
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    return child


@pytest.mark.parametrize("code", [SLEEPER, WATCHING + STUBBORN], ids=["kernel-signal", "pipe"])
async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path, code: str) -> None:
    (tmp_path / "program.py").write_text(Path(__file__).read_text())
    source = PARENT.format(tests=str(tmp_path), code=code, log=str(tmp_path / "child.log"))
    child = start_and_kill(source)
    await eventually(lambda: is_gone(child))


async def test_stop_is_bounded_for_a_child_that_does_not_listen(tmp_path: Path) -> None:
    child = program(tmp_path, STUBBORN)
    await child.ready(20)
    await child.stop(grace_s=0.1)
    assert child.exit_code == -signal.SIGKILL


async def test_a_killed_child_takes_its_group_along(tmp_path: Path) -> None:
    starting = f"subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], stdout=subprocess.DEVNULL)"
    spawning = f"import subprocess, sys; print({starting}.pid, flush=True)"
    child = program(tmp_path, f"{spawning}; {SLEEPER}")
    await child.ready(20)
    grandchild = psutil.Process(int(child.last_lines().split()[0]))
    os.kill(child.pid, signal.SIGKILL)
    await child.exited()
    await eventually(lambda: is_gone(grandchild))


async def test_a_death_before_ready_comes_with_the_last_lines(tmp_path: Path) -> None:
    child = program(tmp_path, "import sys; print('first'); sys.exit('no checkpoint')")
    with pytest.raises(PartFailed, match="exited with code 1") as failure:
        await child.ready(20)
    assert failure.value.log_tail.splitlines()[-1] == "no checkpoint"


async def test_a_child_that_is_never_ready_is_told_so(tmp_path: Path) -> None:
    child = program(tmp_path, "import time; time.sleep(600)")
    with pytest.raises(PartFailed, match="was not ready after 0 s"):
        await child.ready(0.2)
    await child.stop(grace_s=5)


async def test_a_program_that_cannot_be_run_is_told_so(tmp_path: Path) -> None:
    part = Program("", tmp_path / "program.log")
    part.argv = lambda: ["/nowhere/program"]  # type: ignore[method-assign]
    child = Child(part, tmp_path / "program.log")
    with pytest.raises(PartFailed, match="cannot run /nowhere/program"):
        await asyncio.wait_for(child.ready(20), 20)
