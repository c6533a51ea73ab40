"""MP4 in and out, in process, through PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edgecore_inference.domain.gate import Probe

CRF = "18"
"""x264's constant quality: visually near lossless."""

FRAME_RATE_DENOMINATOR_MAX = 1001

Video = NDArray[np.uint8]
"""(frames, height, width, 3), RGB."""


def write_mp4(video_FHWC: Video, fps: float, path: Path) -> None:
    """H.264 in yuv420p with the index first, so that players start before the end has arrived.

    Sides must be even. Raises OSError when the file cannot be written.
    """
    _, height, width, _ = video_FHWC.shape
    if height % 2 or width % 2:
        raise ValueError(f"{width}×{height}: yuv420p needs even sides")
    rate = Fraction(fps).limit_denominator(FRAME_RATE_DENOMINATOR_MAX)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": CRF})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame_HWC in video_FHWC:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


class UnreadableVideo(ValueError):
    """The file does not decode as an MP4 video."""


def probe_mp4(path: Path) -> Probe:
    """Decode every frame; damaged ones do not count. Raises UnreadableVideo."""
    try:
        return _probe(path)
    except (av.FFmpegError, IndexError) as error:
        raise UnreadableVideo(f"the video does not decode: {error}") from error


def _probe(path: Path) -> Probe:
    with av.open(str(path), format="mp4") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        frames, brightest, widest = 0, 0, 0
        for frame in container.decode(stream):
            if frame.is_corrupt:
                continue
            luma = frame.to_ndarray(format="gray")
            darkest, lightest = int(luma.min()), int(luma.max())
            frames += 1
            brightest, widest = max(brightest, lightest), max(widest, lightest - darkest)
        return Probe(
            codec=context.name,
            pixel_format=context.pix_fmt or "",
            width=context.width,
            height=context.height,
            frames=frames,
            fps=float(stream.average_rate or 0),
            seconds=float((stream.duration or 0) * (stream.time_base or 0)),
            brightest_luma=brightest,
            widest_luma_range=widest,
        )
