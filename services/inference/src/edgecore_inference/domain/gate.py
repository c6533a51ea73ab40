"""The quality gate, first version: is this file the video that was asked for, and does it show anything?"""

from dataclasses import dataclass

BLACK_LUMA = 24
"""Luma (0–255; video black is 16) that some pixel of some frame must exceed."""

FLAT_LUMA_RANGE = 4
"""Luma difference within one frame that at least one frame must exceed."""

FPS_TOLERANCE = 0.01
CODEC, PIXEL_FORMAT = "h264", "yuv420p"


@dataclass(frozen=True)
class Probe:
    """What a complete decode of a file found. Luma is 0–255, seconds and fps are of the container."""

    codec: str
    pixel_format: str
    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    brightest_luma: int
    widest_luma_range: int


@dataclass(frozen=True)
class Expected:
    """What was asked for: pixels, frames, frames per second."""

    width: int
    height: int
    frames: int
    fps: float


def problems(probe: Probe, expected: Expected) -> list[str]:
    """Why the video must not be delivered, in words; empty when it may."""
    found = []
    if (probe.codec, probe.pixel_format) != (CODEC, PIXEL_FORMAT):
        found.append(f"is {probe.codec} {probe.pixel_format}, not {CODEC} {PIXEL_FORMAT}")
    if (probe.width, probe.height) != (expected.width, expected.height):
        found.append(f"is {probe.width}×{probe.height} pixels, not {expected.width}×{expected.height}")
    if probe.frames != expected.frames:
        found.append(f"decodes to {probe.frames} frames, not {expected.frames}")
    if abs(probe.fps - expected.fps) > FPS_TOLERANCE * expected.fps:
        found.append(f"plays at {probe.fps:.3f} fps, not {expected.fps:.3f}")
    seconds = expected.frames / expected.fps
    if abs(probe.seconds - seconds) > 1 / expected.fps:
        found.append(f"lasts {probe.seconds:.3f} s, not {seconds:.3f} s")
    if probe.brightest_luma <= BLACK_LUMA:
        found.append("is black")
    elif probe.widest_luma_range <= FLAT_LUMA_RANGE:
        found.append("shows one flat colour")
    return found
