"""The files that an attempt can deliver, and what each must decode to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """Names are FFmpeg's; `suffix` ends the file's name, `even_height` is what the pixel format asks for."""

    suffix: str
    container: str
    media_type: str
    codec: str
    pixel_format: str
    even_height: bool


FORMATS = {
    "mp4": Format("mp4", "mp4", "video/mp4", "h264", "yuv420p", even_height=True),
    "webm": Format("webm", "webm", "video/webm", "vp9", "yuv420p", even_height=True),
    "prores": Format("mov", "mov", "video/quicktime", "prores", "yuv422p10le", even_height=False),
}
DEFAULT_FORMAT = "mp4"

THUMBNAIL = "thumbnail"
JPEG_TYPE = "image/jpeg"

LONG_SIDE_MAX, SHORT_SIDE_MAX = 854, 480
"""Pixels of previews and thumbnails, as proto/edgecore/preview/v1 limits them."""


def wanted(formats: list[str]) -> list[str]:
    """What a specification asks for, in order and once each. Raises ValueError on a format that is not known."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ValueError(f"formats: one of {', '.join(FORMATS)}, not {unknown[0]!r}")
    return list(dict.fromkeys(formats)) or [DEFAULT_FORMAT]


def file_name(name: str) -> str:
    """`video.mp4`, or `thumbnail.jpg`; the last part of the artifact's key."""
    return "thumbnail.jpg" if name == THUMBNAIL else f"video.{FORMATS[name].suffix}"


def media_type(name: str) -> str:
    return JPEG_TYPE if name == THUMBNAIL else FORMATS[name].media_type


def fitted(width: int, height: int) -> tuple[int, int]:
    """The size of a small picture of a video: at most 480p, never larger than the video, sides at least 1."""
    scale = min(1.0, LONG_SIDE_MAX / max(width, height), SHORT_SIDE_MAX / min(width, height))
    return max(1, int(width * scale)), max(1, int(height * scale))
