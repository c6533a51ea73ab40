"""The engine's life: load the model, say so, then one command at a time until the agent closes the pipe."""

import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edgecore_inference.domain.engine_messages import (
    Encode,
    Encoded,
    Failed,
    Generate,
    Generated,
    Progress,
    Ready,
    Reply,
    Stopped,
    Unusable,
)
from edgecore_inference.domain.outcome import DETAIL_MAX, FailureKind, kind_of
from edgecore_inference.engine.channel import Channel, die_with_agent, ignore_terminal
from edgecore_inference.engine.video import UnreadableVideo, Video, probe_mp4, write_mp4
from edgecore_runtime import crash

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in one unit of ru_maxrss."""


class CheckpointUnusable(Exception):
    """The model cannot be loaded, and will not be by trying again."""


class RequestRefused(Exception):
    """The model's rules forbid this request."""


class GenerationStopped(Exception):
    """`should_stop` was obeyed."""


class Model(Protocol):
    """What the engine needs of a model."""

    name: str
    device: str
    memory_bytes: int

    def generate(
        self, request: Generate, on_step: Callable[[str, int, int], None], should_stop: Callable[[], bool]
    ) -> Video:
        """Call `on_step(stage, step, steps)` as steps are done. Raises RequestRefused, GenerationStopped."""


def serve(load: Callable[[], Model]) -> None:
    """Never returns: exits with status 0 when the agent is gone, 3 when the checkpoint is unusable."""
    channel = Channel()
    die_with_agent()
    ignore_terminal()
    crash.configure("engine")
    started = time.monotonic()
    try:
        model = load()
    except CheckpointUnusable as error:
        channel.send(Unusable(str(error)))
        sys.exit(3)
    channel.send(Ready(model.name, model.device, model.memory_bytes, time.monotonic() - started))
    Engine(model, channel).run()


class Engine:
    """Holds the model and the video made last."""

    def __init__(self, model: Model, channel: Channel) -> None:
        self._model = model
        self._channel = channel
        self._video: Video | None = None

    def run(self) -> None:
        for command in self._channel.commands():
            self._channel.send(self._answer(command))

    def _answer(self, command: Generate | Encode) -> Reply:
        started = time.monotonic()
        try:
            return self._generate(command) if isinstance(command, Generate) else self._encode(command)
        except GenerationStopped:
            return Stopped(time.monotonic() - started, peak_memory_bytes())
        except RequestRefused as error:
            return Failed(FailureKind.INVALID_REQUEST, str(error)[:DETAIL_MAX], peak_memory_bytes())
        except UnreadableVideo as error:
            return Failed(FailureKind.UNREADABLE, str(error)[:DETAIL_MAX], peak_memory_bytes())
        except Exception as error:
            traceback.print_exc()
            detail = f"{type(error).__name__}: {error}"[:DETAIL_MAX]
            return Failed(kind_of(error), detail, peak_memory_bytes())

    def _generate(self, command: Generate) -> Generated:
        self._video = None
        started = time.monotonic()
        self._video = self._model.generate(command, self._on_step, self._channel.should_stop)
        return Generated(time.monotonic() - started, peak_memory_bytes())

    def _encode(self, command: Encode) -> Encoded:
        if self._video is None:
            raise LookupError("there is no video to encode")
        video, self._video = self._video, None
        started = time.monotonic()
        write_mp4(video, command.fps, Path(command.path))
        crash.point("encode")
        probe = probe_mp4(Path(command.path))
        return Encoded(time.monotonic() - started, peak_memory_bytes(), probe)

    def _on_step(self, stage: str, step: int, steps: int) -> None:
        self._channel.send(Progress(stage, step, steps))
        if stage == "sample":
            crash.point("step")


def peak_memory_bytes() -> int:
    """The most memory this process ever had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
