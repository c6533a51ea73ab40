"""The quality gates, first version: is a file the video that was asked for, and does it show anything?

Every gate looks at what a complete decode of the encoded file found, never at the frames that went in.
"""

from dataclasses import dataclass

from edgecore_inference.domain.formats import FORMATS

BLACK = 4.0
"""A frame's mean over pixels and channels, 0–255, that the brightest frame of a video must exceed to count as lit.

Black frames come back from all three codecs at 0 to 1.5; the darkest scene that people still make out on a
screen is above 5.
"""

FLAT_DEVIATION = 2.0
"""A frame's standard deviation over pixels, in its most varied channel, below which a dark frame shows nothing.

One white pixel on 64×64 black ones has 4.0; coding a frame of one colour leaves at most 0.5.
"""

FPS_TOLERANCE = 0.01


@dataclass(frozen=True)
class Probe:
    """What a complete decode of a file found. Colours are 0 to 255; seconds and fps are the container's."""

    codec: str
    pixel_format: str
    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    brightness: float
    """Of the brightest frame."""
    variation: float
    """Of the most varied frame."""
    motion: float
    """Mean absolute difference between neighbouring frames; 0 for a still. Measured, not judged."""


@dataclass(frozen=True)
class Expected:
    """What was asked for: pixels, frames, frames per second."""

    width: int
    height: int
    frames: int
    fps: float


def problems(format_name: str, probe: Probe, expected: Expected) -> list[str]:
    """Which gates the file fails, each with what was measured and what was expected; empty when it may go."""
    kind = FORMATS[format_name]
    seconds = expected.frames / expected.fps
    found = []
    if (probe.codec, probe.pixel_format) != (kind.codec, kind.pixel_format):
        found.append(f"codec: is {probe.codec} {probe.pixel_format}, not {kind.codec} {kind.pixel_format}")
    if (probe.width, probe.height) != (expected.width, expected.height):
        found.append(f"size: is {probe.width}×{probe.height} pixels, not {expected.width}×{expected.height}")
    if probe.frames != expected.frames:
        found.append(f"frames: decodes to {probe.frames}, not {expected.frames}")
    if abs(probe.fps - expected.fps) > FPS_TOLERANCE * expected.fps:
        found.append(f"fps: plays at {probe.fps:.3f}, not {expected.fps:.3f}")
    if abs(probe.seconds - seconds) > 1 / expected.fps:
        found.append(f"duration: lasts {probe.seconds:.3f} s, not {seconds:.3f} s")
    return found + _content(probe)


def _content(probe: Probe) -> list[str]:
    """Black is judged; one flat colour of another kind may be what somebody asked for, and is only measured."""
    if probe.brightness > BLACK or probe.variation > FLAT_DEVIATION:
        return []
    return [f"content: is black (mean {probe.brightness:.1f}, not over {BLACK:g})"]


def measured(format_name: str, probe: Probe) -> dict[str, float]:
    """The gates' measurements by name, for the attempt's record."""
    values = {
        "frames": probe.frames,
        "fps": probe.fps,
        "seconds": probe.seconds,
        "brightness": probe.brightness,
        "variation": probe.variation,
        "motion": probe.motion,
    }
    return {f"{format_name}.{name}": round(float(value), 4) for name, value in values.items()}
