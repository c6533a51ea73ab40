"""Clips to files, with PyAV in this process."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_mp4(path: Path, video: NDArray[np.uint8], rate: int = 8, scale: int = 1) -> None:
    """H.264 of uint8 (frames, height, width, 3) at `rate` frames a second; `scale` repeats pixels."""
    frames = video.repeat(scale, axis=1).repeat(scale, axis=2)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate), options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode())


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """One uint8 image (height, width, 3)."""
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())


def contact_sheet(videos: list[NDArray[np.uint8]], columns: int = 5, scale: int = 2) -> NDArray[np.uint8]:
    """One row a clip, `columns` frames spread over it."""
    rows = []
    for video in videos:
        chosen = np.linspace(0, len(video) - 1, columns).round().astype(int)
        rows.append(np.concatenate(list(video[chosen]), axis=1))
    sheet: NDArray[np.uint8] = np.concatenate(rows, axis=0).repeat(scale, axis=0).repeat(scale, axis=1)
    return sheet
