"""Kills processes of a local stack at named points and at random times, then checks every job's history.

Used by the tests (a few kills) and by `make bench NAME=crash` (all of them).
"""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from edgecore_cli.process import StackProcess
from edgecore_sdk import Client
from edgecore_sdk.errors import EdgecoreError

DATABASE_STEPS = ("commit.before", "commit.after", "publish.before", "publish.after", "ack.before", "ack.after")
POINTS = (
    *(f"gateway.{step}" for step in DATABASE_STEPS),
    *(f"scheduler.{step}" for step in DATABASE_STEPS),
    *(f"cost.{step}" for step in DATABASE_STEPS),
    "analytics.commit.before",
    "analytics.commit.after",
    "inference.assigned",
    "inference.upload.before",
    "inference.upload.after",
    "inference.finished.before",
    "inference.finished.after",
    "engine.step",
    "engine.encode",
)
SERVICES = ("gateway", "scheduler", "inference", "preview", "cost", "analytics", "autoscaler")
CHILDREN = (*SERVICES, "broker", "postgres", "redis", "engine")
"""What is killed at random times; the engine is inference's own child."""

FIRE_SECONDS = 60.0
SETTLE_SECONDS = 180.0

SETTINGS = {
    "EDGECORE_LEASE_TTL": "3",
    "EDGECORE_HEARTBEAT_INTERVAL": "0.5",
    # A job may meet many kills; what is tested is that none is lost, not when we give up.
    "EDGECORE_ATTEMPT_LIMIT": "50",
}


@dataclass
class Storm:
    """Jobs under fire: what was accepted, and what was killed."""

    stack: StackProcess
    crash_directory: Path
    random: random.Random
    accepted: list[str] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    say: Callable[[str], None] = lambda _line: None

    def submit(self) -> None:
        """One more job, sometimes cancelled again; a gateway that is down takes none."""
        try:
            with Client(self.stack.url, self.stack.api_key, timeout_s=10.0) as client:
                job = client.generate("a red circle moving right", frames=5, steps=4, seed=len(self.accepted))
                self.accepted.append(job.id)
                if self.random.random() < 0.15:
                    client.cancel(job.id)
        except EdgecoreError as error:
            self.say(f"  not accepted: {error}")

    def kill_at(self, point: str) -> None:
        """Arm a point and feed it jobs until it has fired."""
        armed = self.crash_directory / point
        armed.write_text(str(self.random.randrange(3)))
        deadline = time.monotonic() + FIRE_SECONDS
        while armed.exists():
            self.submit()
            if time.monotonic() > deadline:
                raise AssertionError(f"crash point {point} never fired")
            self._pause(0.3)
        self._note(point)

    def kill_now(self, child: str) -> None:
        """SIGKILL a child while jobs run."""
        self.submit()
        self._pause(self.random.uniform(0.05, 1.0))
        pid = self._pid(child)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self._note(f"{child} at a random time")

    def settle(self) -> None:
        """Wait until every accepted job has ended."""
        deadline = time.monotonic() + SETTLE_SECONDS
        waiting: list[str] | None = None
        while waiting is None or waiting:
            if time.monotonic() > deadline:
                raise AssertionError(f"these jobs never ended: {waiting}")
            try:
                with Client(self.stack.url, self.stack.api_key, timeout_s=10.0) as client:
                    if waiting is None:
                        # Also those whose answer was lost with the gateway: they were accepted all the same.
                        self.accepted += [job.id for job in client.all_jobs()]
                        waiting = list(dict.fromkeys(self.accepted))
                    waiting = [job for job in waiting if not client.status(job).ended]
            except EdgecoreError as error:
                self.say(f"  not answered: {error}")
            self._pause(0.5)

    def _pid(self, child: str) -> int | None:
        children = self.stack.record.children
        if child != "engine":
            return children[child].pid
        try:
            below = psutil.Process(children["inference"].pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return None
        engines = [one.pid for one in below if any("engine" in word for word in one.cmdline())]
        return engines[0] if engines else None

    def _note(self, kill: str) -> None:
        self.kills.append(kill)
        self.say(f"{len(self.kills):3d} killed: {kill}; {len(self.accepted)} jobs accepted")

    @staticmethod
    def _pause(seconds: float) -> None:
        time.sleep(seconds)
