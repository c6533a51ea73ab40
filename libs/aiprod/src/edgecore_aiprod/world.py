"""The synthetic world: one coloured shape moving over a quiet ground, rendered exactly.

Nine colours × three shapes × nine motions, the ones Unicode names in about a hundred languages.
The generator knows the truth; `edgecore_aiprod.detector` must find it again from pixels alone.

Units: pixels with the origin at the top left, y downwards; "unit" sizes are for a frame whose shorter
side is 64 and scale with it; time in frames.
Shapes are signed distance fields of equal area π·radius² centred on their centroid, so that neither area nor
position gives a shape away. The heart is Inigo Quilez's (iquilezles.org/articles/distfunctions2d).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Video = NDArray[np.uint8]

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.11, 0.14),
    "orange": (1.00, 0.54, 0.05),
    "yellow": (1.00, 0.90, 0.15),
    "green": (0.13, 0.65, 0.20),
    "blue": (0.10, 0.34, 0.94),
    "purple": (0.60, 0.15, 0.84),
    "brown": (0.42, 0.22, 0.08),
    "black": (0.03, 0.03, 0.03),
    "white": (0.98, 0.98, 0.98),
}
SHAPES: tuple[str, ...] = ("circle", "square", "heart")
#: Drawn when named, never at random: what the model has not seen, for an adapter to learn.
EXTRA_SHAPES: tuple[str, ...] = ("oval",)
#: Unit vectors (x right, y down) of the nine motions.
MOTIONS: dict[str, tuple[float, float]] = {
    "right": (1.0, 0.0),
    "down-right": (math.sqrt(0.5), math.sqrt(0.5)),
    "down": (0.0, 1.0),
    "down-left": (-math.sqrt(0.5), math.sqrt(0.5)),
    "left": (-1.0, 0.0),
    "up-left": (-math.sqrt(0.5), -math.sqrt(0.5)),
    "up": (0.0, -1.0),
    "up-right": (math.sqrt(0.5), -math.sqrt(0.5)),
    "still": (0.0, 0.0),
}
#: Travel over the whole clip in units; the words belong to captions. A clip of any length travels as far.
TRAVEL: dict[str, tuple[float, float]] = {"slow": (11.5, 14.0), "normal": (17.0, 21.0), "fast": (23.5, 26.0)}
#: Radius in units.
RADII: dict[str, tuple[float, float]] = {"far": (11.0, 12.0), "medium": (12.0, 14.0), "close": (14.0, 15.0)}

_REACH = (
    1.25  # the heart's tip lies 1.23 radii from its centroid; of the shapes at random none reaches further
)
_OVAL_SIDE = math.sqrt(1.6)  # half the width in radii; lying, 1.6 times as wide as high
_OVAL_REACH = 1.34  # with the pixel that anti-aliasing adds
_HEART_CENTROID = 0.6567  # height of the centroid over the tip, for the heart of height 1.104
_HEART_SCALE = math.sqrt(math.pi / 0.8927)  # area of that heart is 1/2 + π/8
_SQUARE_SCALE = math.sqrt(math.pi) / 2.0


@dataclass(frozen=True)
class Scene:
    """Everything that decides a clip's pixels. Lengths are in units (see the module)."""

    colour: str
    shape: str
    motion: str
    speed: str
    size: str
    radius: float
    travel: float
    centre: tuple[float, float]  # of the path, as an offset from the frame's middle
    tint: tuple[float, float, float]  # added to the named colour
    ground: tuple[float, float, float]
    texture: Floats | None  # a coarse (5, 5) field added to the ground; None is plain


def sample_scene(
    rng: np.random.Generator,
    colour: str | None = None,
    shape: str | None = None,
    motion: str | None = None,
    speed: str | None = None,
    size: str | None = None,
    plain: bool = False,
) -> Scene:
    """A random scene; whatever is named is kept, and `plain` takes the ground's texture away.

    Raises KeyError on a name the world does not have.
    """
    colour = colour or str(rng.choice(list(COLOURS)))
    shape = shape or str(rng.choice(SHAPES))
    motion = motion or str(rng.choice(list(MOTIONS)))
    speed = speed or str(rng.choice(list(TRAVEL)))
    size = size or str(rng.choice(list(RADII)))
    if shape not in (*SHAPES, *EXTRA_SHAPES):
        raise KeyError(shape)
    dx, dy = MOTIONS[motion]
    radius = float(rng.uniform(*RADII[size]))
    travel = float(rng.uniform(*TRAVEL[speed])) if motion != "still" else 0.0
    room = 32.0 - (_OVAL_REACH if shape == "oval" else _REACH) * radius
    travel = min(travel, 2.0 * room / max(abs(dx), abs(dy), 1e-6))
    slack_x = max(0.0, room - abs(dx) * travel / 2)
    slack_y = max(0.0, room - abs(dy) * travel / 2)
    lightness = rng.uniform(0.46, 0.62)
    red, green, blue = (float(v) for v in lightness + rng.uniform(-0.04, 0.04, 3))
    tint_r, tint_g, tint_b = (float(v) for v in rng.uniform(-0.025, 0.025, 3))
    texture = rng.uniform(-0.05, 0.05, (5, 5)).astype(np.float32) if rng.random() < 0.5 else None
    COLOURS[colour]
    return Scene(
        colour=colour,
        shape=shape,
        motion=motion,
        speed=speed,
        size=size,
        radius=radius,
        travel=travel,
        centre=(float(rng.uniform(-slack_x, slack_x)), float(rng.uniform(-slack_y, slack_y))),
        tint=(tint_r, tint_g, tint_b),
        ground=(red, green, blue),
        texture=None if plain else texture,
    )


def signed_distance(shape: str, x: Floats, y: Floats, radius: float | Floats) -> Floats:
    """Signed distance in pixels (negative inside) of points relative to the shape's centroid, y downwards."""
    if shape == "circle":
        return np.asarray(np.hypot(x, y) - radius, np.float32)
    if shape == "square":
        half = _SQUARE_SCALE * np.asarray(radius)
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) - half, np.float32)
    if shape == "oval":  # to first order, which near the edge is enough
        wide, high = np.asarray(radius) * _OVAL_SIDE, np.asarray(radius) / _OVAL_SIDE
        level = np.maximum(np.hypot(x / wide, y / high), 1e-6)
        slope = np.maximum(np.hypot(x / wide**2, y / high**2), 1e-6)
        return np.asarray(level * (level - 1.0) / slope, np.float32)
    if shape == "heart":
        scale = _HEART_SCALE * np.asarray(radius)
        px = np.abs(x) / scale
        py = _HEART_CENTROID - y / scale
        lobe = np.hypot(px - 0.25, py - 0.75) - math.sqrt(2.0) / 4.0
        along = 0.5 * np.maximum(px + py, 0.0)
        tip = np.minimum(np.hypot(px, py - 1.0), np.hypot(px - along, py - along))
        return np.asarray(np.where(px + py > 1.0, lobe, tip * np.sign(px - py)) * scale, np.float32)
    raise KeyError(shape)


def render(scene: Scene, frames: int = 17, height: int = 64, width: int = 64) -> Video:
    """The clip as uint8 (frames, height, width, 3), anti-aliased over one pixel."""
    unit = min(height, width) / 64.0
    dx, dy = MOTIONS[scene.motion]
    phase = (np.arange(frames, dtype=np.float32) / max(frames - 1, 1) - 0.5) * scene.travel
    centre_x = width / 2 + (scene.centre[0] + dx * phase) * unit
    centre_y = height / 2 + (scene.centre[1] + dy * phase) * unit
    x = np.arange(width, dtype=np.float32)[None, None, :] + 0.5 - centre_x[:, None, None].astype(np.float32)
    y = np.arange(height, dtype=np.float32)[None, :, None] + 0.5 - centre_y[:, None, None].astype(np.float32)
    cover = np.clip(0.5 - signed_distance(scene.shape, x, y, scene.radius * unit), 0.0, 1.0)[..., None]
    paint = np.asarray(COLOURS[scene.colour], np.float32) + np.asarray(scene.tint, np.float32)
    ground = _ground(scene, height, width)
    mixed = ground[None] + cover * (np.clip(paint, 0.0, 1.0) - ground)[None]
    return np.asarray(mixed * 255.0 + 0.5, np.uint8)


def _ground(scene: Scene, height: int, width: int) -> Floats:
    base = np.broadcast_to(np.asarray(scene.ground, np.float32), (height, width, 3))
    if scene.texture is None:
        return np.asarray(base, np.float32)
    rows, columns = (_stretch(size, scene.texture.shape[0]) for size in (height, width))
    return np.asarray(base + (rows @ scene.texture @ columns.T)[..., None], np.float32)


def _stretch(size: int, knots: int) -> Floats:
    """The (size, knots) matrix that interpolates linearly from `knots` values to `size`."""
    position = np.linspace(0, knots - 1, size, dtype=np.float32)
    return np.asarray(np.clip(1.0 - np.abs(position[:, None] - np.arange(knots)), 0.0, None), np.float32)
