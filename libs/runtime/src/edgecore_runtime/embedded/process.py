"""A part as a child process that cannot outlive its parent, not even after SIGKILL of the parent.

Two mechanisms, because neither is enough alone:
  * Linux: the kernel signals the child when the *thread* that started it ends (see launcher.py). So start
    children from a thread that lives as long as they should: the main thread, or one made for it.
  * Everywhere, for Python children: standard input is a pipe whose other end only the parent holds.
    `exit_when_parent_dies()` waits for its end and is also what ends a child that hangs in its shutdown.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edgecore_runtime.embedded.part import POLL_INTERVAL_S, Part, PartFailed

LAUNCHER = Path(__file__).with_name("launcher.py")
PARENT_PIPE = "EDGECORE_PARENT_PIPE"
LOG_LIMIT_BYTES = 16 * 2**20


class Child:
    """One running process of a part, in a session of its own, with its output appended to a log file.

    `keep_open` are file descriptors that the child inherits (a lock that should be held while it lives).
    Raises PartFailed when the process cannot be made.
    """

    def __init__(self, part: Part, log: Path, keep_open: Sequence[int] = ()) -> None:
        self.part = part
        self.log = log
        self._log_start = _limit(log)
        self._group_ended = False
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    _launch(part),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **part.environment()},
                    pass_fds=keep_open,
                    start_new_session=True,
                )
            except OSError as error:
                raise PartFailed(part.name, f"cannot be started: {error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        code = self._process.poll()
        if code is not None and not self._group_ended:
            self._group_ended = True
            self._kill_group()
            if self._process.stdin is not None:
                self._process.stdin.close()
        return code

    async def exited(self) -> int:
        """Wait, without a deadline, for the end; returns the exit code."""
        while (code := self.exit_code) is None:
            await asyncio.sleep(POLL_INTERVAL_S)
        return code

    async def ready(self, deadline_s: float) -> None:
        """Wait until the part answers. Raises PartFailed when it dies first or is too slow."""
        ready = asyncio.ensure_future(self.part.wait_ready(deadline_s))
        exited = asyncio.ensure_future(self.exited())
        try:
            await asyncio.wait({ready, exited}, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                raise self._failure(describe_exit(exited.result()))
            await ready
        except TimeoutError:
            raise self._failure(f"was not ready after {deadline_s:.0f} s") from None
        finally:
            for waiting in (ready, exited):
                waiting.cancel()
            await asyncio.gather(ready, exited, return_exceptions=True)

    async def stop(self, grace_s: float) -> None:
        """Ask for a clean end; SIGKILL for the whole process group after `grace_s` seconds."""
        with suppress(ProcessLookupError):
            self._process.send_signal(self.part.stop_signal)
        try:
            async with asyncio.timeout(grace_s):
                await self.exited()
        except TimeoutError:
            self.kill()
            await self.exited()

    def kill(self) -> None:
        """SIGKILL for the process and its group; does not wait."""
        if self.exit_code is None:
            self._kill_group()

    def last_lines(self, count: int = 15) -> str:
        """The end of what this process (not an earlier one) wrote."""
        with self.log.open("rb") as lines:
            size = lines.seek(0, os.SEEK_END)
            lines.seek(max(self._log_start, size - 64 * 2**10))
            return "\n".join(lines.read().decode(errors="replace").rstrip().splitlines()[-count:])

    def _failure(self, reason: str) -> PartFailed:
        return PartFailed(self.part.name, reason, self.exit_code, self.last_lines())

    def _kill_group(self) -> None:
        # The group too: what a killed program leaves behind in it would be an orphan.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def describe_exit(code: int) -> str:
    """`exited with code 1`, or `was ended by SIGKILL`."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def exit_when_parent_dies(grace_s: float = 10.0) -> None:
    """End this process when the parent that holds the other end of standard input is gone.

    Does nothing unless EDGECORE_PARENT_PIPE is set. Sends SIGTERM to itself, and after `grace_s` seconds
    ends the process whatever it is doing. Call once, early in `serve`.
    """
    # Taken out, so that a process which this one starts does not also read our standard input.
    if os.environ.pop(PARENT_PIPE, ""):
        threading.Thread(target=_watch_parent, args=(grace_s,), name="parent-watch", daemon=True).start()


def _watch_parent(grace_s: float) -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os._exit(1)


def _launch(part: Part) -> list[str]:
    uid, gid = (part.account.uid, part.account.gid) if part.account else (-1, -1)
    options = [part.orphan_signal.value, os.getpid(), uid, gid]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *map(str, options), *part.argv()]


def _limit(log: Path) -> int:
    """Move a log that has grown past the limit aside; returns where the new process's output begins."""
    log.parent.mkdir(parents=True, exist_ok=True)
    size = log.stat().st_size if log.exists() else 0
    if size <= LOG_LIMIT_BYTES:
        return size
    log.replace(log.with_suffix(".log.1"))
    return 0
