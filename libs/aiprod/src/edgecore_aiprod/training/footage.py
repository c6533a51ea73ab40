"""Video files as clips of a bucket's size: read with PyAV, scaled to cover it, cropped to its middle, cut to
its first frames. Frames are taken as they are; nothing is done about the rate.
"""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from edgecore_aiprod.presets import SPATIAL, TEMPORAL

#: How a file is read, by the end of its name: a file that lies about its type is not guessed at.
FORMATS = {".mp4": "mp4", ".webm": "webm", ".png": "png_pipe"}


class Bucket(NamedTuple):
    """A size that clips are brought to: frames are 4k+1, sides multiples of 16 pixels."""

    frames: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.frames}x{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Bucket:
        """`17x64x96`. Raises ValueError naming the rule."""
        rule = f"bucket: FRAMESxHEIGHTxWIDTH, frames 4k+1 and sides multiples of {SPATIAL}, not {text!r}"
        parts = text.split("x")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(rule)
        bucket = cls(*map(int, parts))
        off_grid = bucket.height % SPATIAL or bucket.width % SPATIAL or bucket.frames % TEMPORAL != 1
        if min(bucket) < 1 or off_grid:
            raise ValueError(rule)
        return bucket


#: 1:1, 3:2 and 16:9 and their uprights at the sizes nano takes.
BUCKETS = tuple(
    Bucket(frames, height, width)
    for frames in (1, 5, 9, 17)
    for height, width in ((64, 64), (64, 96), (96, 64), (64, 112), (112, 64))
)


class Size(NamedTuple):
    """Of a file: frames are counted no further than the longest bucket needs."""

    frames: int
    height: int
    width: int


def measure(path: Path, longest: int) -> Size:
    """Decodes up to `longest` frames, all that a clip can use. Raises ValueError on what cannot be read."""
    frames = height = width = 0
    for frame in _frames(path, longest):
        frames, height, width = frames + 1, height or frame.height, width or frame.width
    return Size(frames, height, width)


def choose_bucket(size: Size, buckets: tuple[Bucket, ...]) -> Bucket | None:
    """The nearest in aspect; of those the longest that the clip fills; of those the largest that needs no
    enlarging, or the smallest. None for a clip shorter than all.
    """
    aspect = math.log(size.width / size.height)

    def distance(bucket: Bucket) -> tuple[float, int, bool, int]:
        area = bucket.height * bucket.width
        enlarged = bucket.height > size.height or bucket.width > size.width
        away = abs(math.log(bucket.width / bucket.height) - aspect)
        return round(away, 6), -bucket.frames, enlarged, area if enlarged else -area

    return min((bucket for bucket in buckets if bucket.frames <= size.frames), key=distance, default=None)


def read_clip(path: Path, bucket: Bucket) -> NDArray[np.uint8]:
    """uint8 RGB (frames, height, width, 3). Raises ValueError on what cannot be read."""
    return np.stack([_fitted(frame, bucket) for frame in _frames(path, bucket.frames)])


def _frames(path: Path, count: int) -> list[av.VideoFrame]:
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise ValueError(f"{path.name}: must end in one of {', '.join(FORMATS)}")
    try:
        with av.open(str(path), format=form) as container:
            if not container.streams.video:
                raise ValueError(f"{path.name}: has no video")
            frames = list(islice(container.decode(video=0), count))
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path.name}: cannot be read as {form}: {error}") from error
    if not frames:
        raise ValueError(f"{path.name}: has no frames")
    return frames


def _fitted(frame: av.VideoFrame, bucket: Bucket) -> NDArray[np.uint8]:
    scale = max(bucket.height / frame.height, bucket.width / frame.width)
    height, width = math.ceil(frame.height * scale - 1e-6), math.ceil(frame.width * scale - 1e-6)
    scaled = frame.reformat(width, height, format="rgb24", interpolation="BICUBIC")
    pixels = np.asarray(scaled.to_ndarray(), np.uint8)
    top, left = (height - bucket.height) // 2, (width - bucket.width) // 2
    cropped: NDArray[np.uint8] = pixels[top : top + bucket.height, left : left + bucket.width]
    return cropped
