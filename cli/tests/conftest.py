"""A local stack of real embedded parts and stand-ins for the services, run as the real command."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from edgecore_cli.layout import SERVICES
from edgecore_cli.record import Record
from edgecore_runtime.testing import eventually

START_DEADLINE_S = 60.0
END_DEADLINE_S = 60.0


class Up:
    """One run of `edgecore up`, with its output in files."""

    def __init__(
        self, directory: Path, home: Path, port: str, options: Sequence[str], faults: dict[str, str]
    ) -> None:
        self.directory = directory
        self._output = home / "up.out"
        self._errors = home / "up.err"
        path = os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "edgecore_cli", "up", "--directory", str(directory), "--port", port]
        command += options
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": path, **faults}, stdout=output, stderr=errors
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        """Without the notes on closed folders, which depend on who runs the test and where."""
        lines = self._errors.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if "passable (o+x)" not in line)

    async def ready(self) -> Record:
        def record() -> Record | None:
            assert self.process.poll() is None, self.output + self.errors
            now = Record.read(self.directory)
            # A run that was ended by SIGKILL has left its own behind.
            return now if now and now.pid == self.process.pid else None

        found = await eventually(record, START_DEADLINE_S)
        assert found is not None
        return found

    async def ended(self) -> int:
        await eventually(lambda: self.process.poll() is not None, END_DEADLINE_S)
        return self.process.returncode

    def family(self) -> list[psutil.Process]:
        """Every process below this one."""
        return psutil.Process(self.process.pid).children(recursive=True)

    async def restarted(self, name: str, old: int) -> Record:
        """Once child `name` is ready with another pid than `old`."""

        def record() -> Record | None:
            assert self.process.poll() is None, self.output + self.errors
            now = Record.read(self.directory)
            return now if now and now.children[name].ready and now.children[name].pid != old else None

        found = await eventually(record, START_DEADLINE_S)
        assert found is not None
        return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that Python finds the stand-ins in before the real services."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "standin.py").write_text(Path(__file__).with_name("standin.py").read_text())
    for name in SERVICES:
        (home / f"edgecore_{name}").mkdir()
        (home / f"edgecore_{name}" / "__init__.py").touch()
        (home / f"edgecore_{name}" / "__main__.py").write_text(f"import standin\n\nstandin.main({name!r})\n")
    return home


@pytest.fixture
def run_up(tmp_path: Path, home: Path) -> Iterator[Callable[..., Up]]:
    """Starts `edgecore up`; whatever still runs at the end of the test is ended."""
    runs: list[Up] = []

    def run(port: str = "0", options: Sequence[str] = (), **faults: str) -> Up:
        environment = {f"EDGECORE_STANDIN_{name.upper()}": fault for name, fault in faults.items()}
        runs.append(Up(tmp_path / "var", home, port, options, environment))
        return runs[-1]

    yield run
    for up in runs:
        if up.process.poll() is None:
            up.process.send_signal(signal.SIGTERM)
            up.process.wait(END_DEADLINE_S)
