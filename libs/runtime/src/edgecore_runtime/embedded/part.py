"""What can be started, watched and stopped as a child process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

POLL_INTERVAL_S = 0.05


class PartFailed(RuntimeError):
    """A part could not start, died while starting, or did not get ready in time.

    `exit_code` is the process's (negative: the signal that ended it), or None when it was still alive.
    `log_tail` holds the last lines it wrote.
    """

    def __init__(self, name: str, reason: str, exit_code: int | None = None, log_tail: str = "") -> None:
        super().__init__(f"{name} {reason}\n{log_tail}".strip())
        self.name = name
        self.reason = reason
        self.exit_code = exit_code
        self.log_tail = log_tail


@dataclass(frozen=True)
class Account:
    """The system user that a part runs as when its parent is root."""

    uid: int
    gid: int


class Part(Protocol):
    """One program of a stack: how to start it, how to tell that it is ready, how to end it."""

    @property
    def name(self) -> str:
        """One word, unique in its stack; names the log file."""

    @property
    def url(self) -> str:
        """Where it answers once it is ready."""

    @property
    def account(self) -> Account | None:
        """The user to run as; None: the parent's own."""

    @property
    def stop_signal(self) -> signal.Signals:
        """Asks for a clean end."""

    @property
    def orphan_signal(self) -> signal.Signals:
        """Sent by the kernel when the parent dies."""

    async def prepare(self) -> None:
        """Make what the program needs before each start. Idempotent. Raises PartFailed."""

    def argv(self) -> list[str]:
        """The program's absolute path and its arguments."""

    def environment(self) -> dict[str, str]:
        """Variables added to those inherited from the parent."""

    async def wait_ready(self, deadline_s: float) -> None:
        """Return once it answers. Raises TimeoutError after `deadline_s` seconds."""


async def until(probe: Callable[[], Awaitable[bool]], deadline_s: float) -> None:
    """Repeat `probe` until it is true. An OSError or TimeoutError from it counts as "not yet".

    Raises TimeoutError after `deadline_s` seconds, even when one probe hangs, and what that probe then takes to
    close its connection.
    """
    async with asyncio.timeout(deadline_s):
        while True:
            try:
                if await probe():
                    return
            except (OSError, TimeoutError):
                pass
            await asyncio.sleep(POLL_INTERVAL_S)
