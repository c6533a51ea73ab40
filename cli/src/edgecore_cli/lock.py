"""`stack.lock`: held by a stack's supervisor and by every child that it started.

The children inherit the open file, and the kernel releases the lock when the last of them is gone. So a
free lock means: nothing of an earlier stack is left, however it ended.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from edgecore_cli.errors import CommandFailed
from edgecore_cli.record import Record, is_running

# Children of a killed supervisor end themselves within about ten seconds.
PREDECESSOR_DEADLINE_S = 20.0
POLL_INTERVAL_S = 0.05


class StackLock:
    """Use as a context manager. Raises CommandFailed when a stack runs in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = -1

    @property
    def file(self) -> int:
        """The descriptor for the children to inherit."""
        return self._file

    def __enter__(self) -> StackLock:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._directory / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + PREDECESSOR_DEADLINE_S
        try:
            while not self._take():
                self._refuse_if_alive()
                if time.monotonic() > deadline:
                    raise CommandFailed(f"processes of an earlier stack in {self._directory} do not end")
                time.sleep(POLL_INTERVAL_S)
        except BaseException:
            os.close(self._file)
            raise
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _refuse_if_alive(self) -> None:
        holder = os.pread(self._file, 32, 0).decode()
        if not holder.isdigit() or not is_running(int(holder)):
            return
        record = Record.read(self._directory)
        where = record.url if record is not None else "still starting"
        raise CommandFailed(f"a stack already runs in {self._directory} (pid {holder}, {where})")
