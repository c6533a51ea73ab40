"""The judge: colour, shape and motion read from pixels alone. It never sees a prompt or a scene.

How: the ground is the clip's median colour; the object's paint is the median of what clearly differs from it;
every pixel's share of paint gives a mask. Colour is the nearest of the nine names. Shape is the template
(of the shapes it knows, of equal area on the same centroid) whose overlap with the mask is best. Motion is a
straight line through the centroids. Whatever is not clear is None, so that a smear or an empty clip passes
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecore_aiprod.world import COLOURS, MOTIONS, SHAPES, Floats, Video, signed_distance

_DIFFERS = (
    0.20  # L2 distance in RGB [0, 1] from the ground: texture stays under 0.09, the nearest paint is at 0.3
)
_COLOUR_REACH = 0.24  # a paint further from every name than this has no name
_SHARE_OF_FRAME = (0.05, 0.28)  # of the area; the world's shapes lie in 0.09..0.18
_FRAMES_NEEDED = 0.8  # share of frames that must show an object
_OVERLAP_NEEDED = 0.88  # intersection over union; a circle on an equal square has 0.83
_OVERLAP_MARGIN = 0.03  # over the next best shape
_STILL_UNITS, _MOVING_UNITS = (
    4.0,
    7.0,
)  # travel; between them neither is clear. The world's moves are 11.5 or more
_WANDER_UNITS = 2.0  # root mean square distance from the straight line


@dataclass(frozen=True)
class Reading:
    """What was seen; None where nothing was clear."""

    colour: str | None
    shape: str | None
    motion: str | None
    overlap: float  # of the best shape, 0..1
    travel: float  # in units of a frame 64 pixels high
    velocity: tuple[float, float]  # pixels a frame, x right, y down

    def agrees(self, colour: str, shape: str, motion: str) -> tuple[bool, bool, bool]:
        return self.colour == colour, self.shape == shape, self.motion == motion


_NOTHING = Reading(None, None, None, 0.0, 0.0, (0.0, 0.0))


def detect(video: Video, shapes: tuple[str, ...] = SHAPES) -> Reading:
    """Read uint8 (frames, height, width, 3) of at least two frames. Raises ValueError on anything else.

    `shapes` are those it tells apart, at least two; the world's extra ones have to be named.
    """
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3 or video.shape[0] < 2:
        raise ValueError(
            f"a uint8 clip (frames >= 2, height, width, 3) is needed, not {video.dtype} {video.shape}"
        )
    frames, height, width, _ = video.shape
    unit = min(height, width) / 64.0
    pixels = video.astype(np.float32) / 255.0
    ground = np.median(pixels.reshape(-1, 3), axis=0)
    differs = np.linalg.norm(pixels - ground, axis=-1) > _DIFFERS
    if differs.mean() < _SHARE_OF_FRAME[0] * _FRAMES_NEEDED:
        return _NOTHING
    paint = np.median(pixels[differs], axis=0)
    contrast = paint - ground
    if np.linalg.norm(contrast) <= _DIFFERS:
        return _NOTHING
    share = (pixels - ground) @ contrast / float(contrast @ contrast)
    mask = share > 0.5
    area = mask.sum(axis=(1, 2))
    low, high = (bound * height * width for bound in _SHARE_OF_FRAME)
    seen = (area >= low) & (area <= high)
    if seen.mean() < _FRAMES_NEEDED:
        return _NOTHING
    centroid = _centroids(mask[seen])
    shape, overlap = _shape(mask[seen], centroid, area[seen], shapes)
    motion, travel, velocity = _motion(np.flatnonzero(seen), centroid, frames, unit)
    return Reading(_colour(paint), shape, motion, overlap, travel, velocity)


def _centroids(mask: NDArray[np.bool_]) -> Floats:
    """(frames, 2): x, y in pixels of pixel centres."""
    area = mask.sum(axis=(1, 2))
    x = (mask.sum(axis=1) * (np.arange(mask.shape[2]) + 0.5)).sum(axis=1) / area
    y = (mask.sum(axis=2) * (np.arange(mask.shape[1]) + 0.5)).sum(axis=1) / area
    return np.asarray(np.stack([x, y], axis=1), np.float32)


def _colour(paint: Floats) -> str | None:
    distance = {name: float(np.linalg.norm(paint - np.asarray(rgb))) for name, rgb in COLOURS.items()}
    best = min(distance, key=distance.__getitem__)
    return best if distance[best] <= _COLOUR_REACH else None


def _shape(
    mask: NDArray[np.bool_], centroid: Floats, area: NDArray[np.int_], shapes: tuple[str, ...]
) -> tuple[str | None, float]:
    _, height, width = mask.shape
    x = np.arange(width, dtype=np.float32)[None, None, :] + 0.5 - centroid[:, 0, None, None]
    y = np.arange(height, dtype=np.float32)[None, :, None] + 0.5 - centroid[:, 1, None, None]
    radius = np.sqrt(area / math.pi).astype(np.float32)[:, None, None]
    overlap: dict[str, float] = {}
    for shape in shapes:
        template = signed_distance(shape, x, y, radius) < 0
        both = (template & mask).sum(axis=(1, 2))
        either = (template | mask).sum(axis=(1, 2))
        overlap[shape] = float((both / either).mean())
    best, second = sorted(shapes, key=overlap.__getitem__, reverse=True)[:2]
    clear = overlap[best] >= _OVERLAP_NEEDED and overlap[best] - overlap[second] >= _OVERLAP_MARGIN
    return (best if clear else None), overlap[best]


def _motion(
    when: NDArray[np.int_], centroid: Floats, frames: int, unit: float
) -> tuple[str | None, float, tuple[float, float]]:
    time = when - when.mean()
    velocity = (time[:, None] * centroid).sum(axis=0) / float((time**2).sum())
    line = centroid.mean(axis=0) + time[:, None] * velocity
    wander = float(np.sqrt(((centroid - line) ** 2).sum(axis=1).mean())) / unit
    travel = float(np.hypot(*velocity)) * (frames - 1) / unit
    speed = (float(velocity[0]), float(velocity[1]))
    if wander > _WANDER_UNITS or _STILL_UNITS < travel < _MOVING_UNITS:
        return None, travel, speed
    if travel <= _STILL_UNITS:
        return "still", travel, speed
    along = {name: speed[0] * dx + speed[1] * dy for name, (dx, dy) in MOTIONS.items() if name != "still"}
    return max(along, key=along.__getitem__), travel, speed
