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
from edgecore_inference.domain.formats import THUMBNAIL, file_name
from edgecore_inference.domain.outcome import DETAIL_MAX, FailureKind, kind_of
from edgecore_inference.engine.channel import Channel, die_with_agent, ignore_terminal
from edgecore_inference.engine.previews import Draw, PreviewMaker
from edgecore_inference.media.decode import UnreadableVideo, probe
from edgecore_inference.media.encode import write_video
from edgecore_inference.media.frames import Video
from edgecore_inference.media.jpeg import small_jpeg
from edgecore_runtime import crash

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in one unit of ru_maxrss."""


class CheckpointUnusable(Exception):
    """The model cannot be loaded, and will not be by trying again."""


class RequestRefused(Exception):
    """The model's rules forbid this request."""


class GenerationStopped(Exception):
    """`should_stop` was obeyed."""


class OnStep(Protocol):
    def __call__(self, stage: str, step: int, steps: int, draw: Draw | None = None) -> None:
        """`step` of `steps` are done in a stage: text, sample, upscale or decode. `draw`: there is a clip to look
        at.
        """


class Model(Protocol):
    """What the engine needs of a model."""

    name: str
    device: str
    memory_bytes: int

    def generate(self, request: Generate, on_step: OnStep, should_stop: Callable[[], bool]) -> Video:
        """Call `on_step` as steps are done. Raises RequestRefused, GenerationStopped."""

    def tokens(self, request: Generate) -> int:
        """How many latent tokens the backbone sees in one step of this request's last sampling stage."""


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
        previews = PreviewMaker(lambda: self._channel.preview_share, self._channel.offer)

        def on_step(stage: str, step: int, steps: int, draw: Draw | None = None) -> None:
            self._channel.send(Progress(stage, step, steps))
            if stage == "sample":
                crash.point("step")
            if draw is not None:
                previews.after_step(step, steps, draw)

        self._video = self._model.generate(command, on_step, self._channel.should_stop)
        previews.after_decode(command.steps, self._video)
        return Generated(time.monotonic() - started, peak_memory_bytes(), self._model.tokens(command))

    def _encode(self, command: Encode) -> Encoded:
        if self._video is None:
            raise LookupError("there is no video to encode")
        video, self._video = self._video, None
        started, folder = time.monotonic(), Path(command.folder)
        _, height, width, _ = video.shape
        probes = {}
        for name in command.formats:
            if self._channel.should_stop():
                raise GenerationStopped
            path = folder / file_name(name)
            write_video(video, width, height, command.fps, name, path)
            crash.point("encode")
            probes[name] = probe(path, name)
        jpeg, *sides = small_jpeg(video[len(video) // 2])
        (folder / file_name(THUMBNAIL)).write_bytes(jpeg)
        return Encoded(time.monotonic() - started, peak_memory_bytes(), probes, *sides)


def peak_memory_bytes() -> int:
    """The most memory this process ever had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
