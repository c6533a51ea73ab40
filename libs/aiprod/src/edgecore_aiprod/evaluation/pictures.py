"""Clips as pictures in a page: PNG data URIs; animated PNG moves without a script."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from edgecore_aiprod.world import Video

_RATE = 8  # frames a second


class Picture(NamedTuple):
    """Something to look at: what was asked, and what is to be said of it. Both are plain text."""

    title: str
    note: str
    uri: str


def data_uri(video: Video) -> str:
    """`data:image/png;base64,…` of uint8 (frames, height, width, 3); more than one frame moves, for ever."""
    written = io.BytesIO()
    with av.open(written, "w", format="apng", options={"plays": "0"}) as container:
        stream = container.add_stream("apng", rate=Fraction(_RATE))
        assert isinstance(stream, VideoStream)  # which an apng stream always is
        stream.height, stream.width, stream.pix_fmt = video.shape[1], video.shape[2], "rgb24"
        for frame in video:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode())
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def beside(videos: Sequence[Video]) -> Video:
    """Clips of one size next to each other, a white line between them."""
    gap = np.full((*videos[0].shape[:2], 2, 3), 255, np.uint8)
    columns: list[NDArray[np.uint8]] = [videos[0]]
    for video in videos[1:]:
        columns += [gap, video]
    return np.concatenate(columns, axis=2)
