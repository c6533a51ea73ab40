"""A local stack of one's own: `edgecore up` as a child process, for demos, tests and benchmarks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgecore_cli.record import Record

READY_S = 120.0
STOP_S = 40.0
POLL_S = 0.1


class StackFailed(RuntimeError):
    """The stack ended, or was not ready in time; `status` is its exit status, None while it still runs."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


class StackProcess:
    """A running `edgecore up`; `record` reads afresh what it says of itself."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.process = process

    @property
    def record(self) -> Record:
        """Raises StackFailed when the stack is not (or no longer) up."""
        record = Record.read(self.directory)
        if record is None or record.pid != self.process.pid:
            raise StackFailed(f"no stack is up in {self.directory}", self.process.poll())
        return record

    @property
    def url(self) -> str:
        return self.record.url

    @property
    def api_key(self) -> str:
        return Path(self.record.key_file).read_text().strip()

    def wait_ready(self, deadline_s: float = READY_S) -> None:
        """Return once it is up. Raises StackFailed."""
        deadline = time.monotonic() + deadline_s
        while True:
            record = Record.read(self.directory)
            if record is not None and record.pid == self.process.pid:
                return
            if self.process.poll() is not None:
                raise StackFailed("the local stack ended instead of starting", self.process.returncode)
            if time.monotonic() > deadline:
                raise StackFailed(f"not ready within {deadline_s:.0f} s; see {self.directory / 'logs'}", None)
            time.sleep(POLL_S)

    def stop(self) -> int:
        """End it as Ctrl-C does; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextmanager
def stack_process(
    directory: Path,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    output: int | None = None,
) -> Iterator[StackProcess]:
    """A stack in `directory` on free ports, ready inside the block. `output`: subprocess.DEVNULL to silence it."""
    command = [sys.executable, "-m", "edgecore_cli", "up", "--directory", str(directory), "--port", "0", *options]
    process = subprocess.Popen(  # noqa: S603
        command,
        env={**os.environ, **(environment or {})},
        stdout=output,
        stderr=output,
        start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on, once
    )
    stack = StackProcess(directory, process)
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()
