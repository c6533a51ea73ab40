"""Where an attempt's video comes from: our engine, or anything else that leaves encoded files in a folder.

An attempt asks its source for files, and does all the rest itself: the gates, the upload, the report.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgecore.common.v1.common_pb2 import Measurements
from edgecore.scheduler.v1.scheduler_pb2 import Assign, Progress, Stage
from edgecore_inference import metrics
from edgecore_inference.domain.gate import Expected, Probe
from edgecore_runtime import telemetry
from edgecore_runtime.clock import Clock

DELIVERY_SECONDS = 300.0
"""To fetch, transcode, judge and upload a video that is paid for: minutes of 4K need a few minutes of CPU."""


@dataclass(frozen=True)
class Made:
    """What lies in the folder, under the names of domain/formats.py: a file for each probe, and the thumbnail.

    `probes` are by format, in the order asked for, from a complete decode of each file (media/decode.py).
    `expected` is what the gates hold them to: the specification, or what a source that cannot follow it promised.
    """

    probes: dict[str, Probe]
    thumbnail_width: int
    thumbnail_height: int
    expected: Expected


class Account:
    """What an attempt used so far, how far it is, and how long it may take. Nothing here blocks."""

    def __init__(self, assign: Assign, device: str, on_progress: Callable[[Progress], None], clock: Clock) -> None:
        self.used = Measurements(device=device)
        self.limit = asyncio.timeout(
            assign.time_limit.ToTimedelta().total_seconds() if assign.HasField("time_limit") else None
        )
        self._assign = assign
        self._on_progress = on_progress
        self._clock = clock

    def progress(self, stage: Stage.ValueType, step: int, steps: int) -> None:
        self._on_progress(Progress(lease=self._assign.lease, stage=stage, step=step, steps=steps))

    def all_steps_done(self, stage: Stage.ValueType) -> None:
        """The progress of a stage after the last step."""
        self.progress(stage, self._assign.spec.steps, self._assign.spec.steps)

    def bought(self) -> None:
        """The video is paid for: from now on the attempt has time to bring it, whatever was left of its limit.

        Giving up would have the next attempt pay again.
        """
        due = self.limit.when()
        if due is not None:
            self.limit.reschedule(max(due, asyncio.get_running_loop().time() + DELIVERY_SECONDS))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A span, and seconds under `<name>_seconds` of the measurements, also for a stage that is cut short."""
        started = self._clock.monotonic()
        try:
            with telemetry.tracer.start_as_current_span(name):
                yield
        finally:
            seconds = self._clock.monotonic() - started
            setattr(self.used, f"{name}_seconds", seconds)
            metrics.STAGE_SECONDS.labels(name).observe(seconds)


class Source(Protocol):
    """What makes the videos of this node."""

    @property
    def device(self) -> str:
        """What measurements name: cpu, a GPU's name, or who else computes."""

    async def make(self, assign: Assign, formats: list[str], folder: Path, account: Account) -> Made:
        """Leave the files in the folder; tell the account the progress, stages, frames and tokens.

        Raises AttemptFailed. Being cancelled leaves nothing running when this returns, except work at a third
        party that cannot be stopped.
        """
