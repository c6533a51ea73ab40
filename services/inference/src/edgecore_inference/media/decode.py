"""A file's frames, and what a look at all of them finds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from edgecore_inference.domain.formats import FORMATS
from edgecore_inference.domain.gate import Probe
from edgecore_inference.media.frames import Picture


class UnreadableVideo(ValueError):
    """The file does not decode as a video of its format."""


def probe(path: Path, name: str) -> Probe:
    """Decode every frame of a file of the named format; damaged ones do not count. Raises UnreadableVideo."""
    with _opened(path, name) as container:
        stream = container.streams.video[0]
        looks = _Looks()
        for frame in container.decode(stream):
            if not frame.is_corrupt:
                looks.at(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
        context = stream.codec_context
        return Probe(
            codec=context.name,
            pixel_format=context.pix_fmt or "",
            width=context.width,
            height=context.height,
            frames=looks.frames,
            fps=float(stream.average_rate or 0),
            seconds=(container.duration or 0) / av.time_base,
            brightness=looks.brightest,
            variation=looks.most_varied,
            motion=looks.motion,
        )


def pictures(path: Path, name: str) -> Iterator[Picture]:
    """The file's frames in order, damaged ones left out. Raises UnreadableVideo."""
    with _opened(path, name) as container:
        for frame in container.decode(container.streams.video[0]):
            if not frame.is_corrupt:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[InputContainer]:
    try:
        with av.open(str(path), format=FORMATS[name].container) as container:
            yield container
    except (av.FFmpegError, IndexError) as error:
        raise UnreadableVideo(f"{name} decodes: no, {error}") from error


class _Looks:
    """What was seen of the frames so far."""

    def __init__(self) -> None:
        self.frames = 0
        self.brightest = self.most_varied = 0.0
        self._changes = 0.0
        self._before: Picture | None = None

    def at(self, picture_HWC: Picture) -> None:
        self.frames += 1
        self.brightest = max(self.brightest, float(picture_HWC.mean()))
        # By channel: a blue heart on grey may be as bright as the ground, and is no flat colour for that.
        self.most_varied = max(self.most_varied, float(picture_HWC.std(axis=(0, 1)).max()))
        if self._before is not None and self._before.shape == picture_HWC.shape:
            self._changes += float(np.abs(picture_HWC.astype(np.int16) - self._before).mean())
        self._before = picture_HWC

    @property
    def motion(self) -> float:
        return self._changes / (self.frames - 1) if self.frames > 1 else 0.0
