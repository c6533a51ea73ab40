"""Frames into a file of one of the formats."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from edgecore_inference.domain.formats import FORMATS
from edgecore_inference.media.frames import Picture

FRAME_RATE_DENOMINATOR_MAX = 1001

ENCODERS = {"mp4": "libx264", "webm": "libvpx-vp9", "prores": "prores_ks"}

ENCODER_OPTIONS = {
    # Constant quality, visually near lossless. Without the macroblock tree: on a busy machine its look-ahead gave,
    # for the same frames, one of two different files (up to 36 of 120 times), and a seed promises one.
    "mp4": {"crf": "18", "x264-params": "mbtree=0"},
    # Constant quality (needs b=0) at about the same; cpu-used trades a few per cent of size for speed.
    "webm": {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    # 422 HQ. The vendor code is what editing programs look for.
    "prores": {"profile": "hq", "vendor": "apl0"},
}

CONTAINER_OPTIONS = {
    # The index first, so that players start before the end has arrived.
    "mp4": {"movflags": "+faststart"},
}


def write_video(pictures: Iterable[Picture], width: int, height: int, fps: float, name: str, path: Path) -> None:
    """Encode pictures, each (height, width, 3), as the named format.

    Raises ValueError when a side does not fit the pixel format, OSError when the file cannot be written.
    """
    kind = FORMATS[name]
    if width % 2 or (height % 2 and kind.even_height):
        raise ValueError(f"{width}×{height}: {kind.pixel_format} needs even sides")
    rate = Fraction(fps).limit_denominator(FRAME_RATE_DENOMINATOR_MAX)
    with av.open(str(path), "w", format=kind.container, options=CONTAINER_OPTIONS.get(name, {})) as container:
        stream = container.add_stream(ENCODERS[name], rate=rate, options=ENCODER_OPTIONS[name])
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, kind.pixel_format
        for picture_HWC in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture_HWC), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
