"""The motion of a clip, measured: dense optical flow, for a reference clip to steer another one by.

OpenCV's DIS flow (Kroeger et al. 2016, "Fast optical flow using dense inverse search"). Frames this small are
enlarged first: its patches are 8 pixels wide.
"""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from edgecore_aiprod.errors import InvalidRequest
from edgecore_aiprod.image_file import fit_image

_SIDE = 256  # pixels that the shorter side is enlarged to, at least
_LONGEST = 1000  # frames of a reference clip


def estimate_motion(video_FHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(F, H, W, 2): how far what each pixel shows moves until the next frame, in pixels right and down.

    The last frame repeats the one before; a clip of one frame does not move. Raises ValueError on anything
    but uint8 RGB clips.
    """
    if video_FHW3.dtype != np.uint8 or video_FHW3.ndim != 4 or video_FHW3.shape[3] != 3:
        raise ValueError(f"video: uint8 (F, H, W, 3), not {video_FHW3.dtype} {video_FHW3.shape}")
    frames, height, width, _ = video_FHW3.shape
    factor = max(1, -(-_SIDE // min(height, width)))
    large = [_enlarged(frame, factor) for frame in video_FHW3]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    motion_FHW2 = np.zeros((frames, height, width, 2), np.float32)
    for index, (before, after) in enumerate(pairwise(large)):
        flow = estimator.calc(before, after, None)  # type: ignore[call-overload]
        motion_FHW2[index] = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / factor
    motion_FHW2[-1] = motion_FHW2[max(0, frames - 2)]
    return motion_FHW2


def read_motion(path: Path, frames: int, width: int, height: int) -> NDArray[np.float32]:
    """(frames, height, width, 2) of a video file: its motion from beginning to end, in so many frames of this
    size, which `fit_image` makes of its own.

    Raises InvalidRequest on a file without a readable video, or one of fewer frames than asked for or of more
    than _LONGEST; OSError if there is no such file.
    """
    try:
        with av.open(str(path)) as container:
            pictures = islice(container.decode(video=0), _LONGEST + 1)
            clip = [
                fit_image(np.asarray(one.to_ndarray(format="rgb24"), np.uint8), width, height)
                for one in pictures
            ]
    except (av.FFmpegError, IndexError) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise InvalidRequest("motion", f"a file with a video ({error})", path.name) from error
    if not frames <= len(clip) <= _LONGEST:
        rule = f"a clip of {frames} to {_LONGEST} frames"
        raise InvalidRequest("motion", rule, f"{len(clip)}{' or more' if len(clip) > _LONGEST else ''}")
    chosen = np.linspace(0, len(clip) - 1, frames).round().astype(int)
    return estimate_motion(np.stack([clip[index] for index in chosen]))


def _enlarged(frame_HW3: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Grey, and `factor` times as large."""
    height, width, _ = frame_HW3.shape
    grey = cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)
    return np.asarray(
        cv2.resize(grey, (factor * width, factor * height), interpolation=cv2.INTER_CUBIC), np.uint8
    )
