"""One picture as a small JPEG: previews and thumbnails."""

from fractions import Fraction

import av
import numpy as np

from edgecore_inference.domain.formats import fitted
from edgecore_inference.media.frames import Picture

QUANTISER = "3"
"""MJPEG's scale from 1 (best) to 31; 3 is where blocks stop to be seen."""


def small_jpeg(picture_HWC: Picture) -> tuple[bytes, int, int]:
    """The picture as JPEG, at most 480p, with its width and height."""
    width, height = fitted(picture_HWC.shape[1], picture_HWC.shape[0])
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture_HWC), format="rgb24")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 1)
    encoder.thread_count = 1  # threads would cost more than the picture
    encoder.options = {"qmin": QUANTISER, "qmax": QUANTISER}
    packets = [*encoder.encode(frame.reformat(width, height, "yuvj420p")), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets), width, height
