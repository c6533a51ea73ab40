"""What a frame must be. The numbers are those of the contract (proto/edgecore/preview/v1)."""

import re

from edgecore.preview.v1.preview_pb2 import Frame

ATTEMPT_SHIFT = 20
"""number = attempt · 2^20 + count: grows within a job over all its attempts."""
ATTEMPT_MOST = 2**31
"""Above it numbers would not fit into the 64 bits of a stream's entry with room to spare."""
LONG_SIDE, SHORT_SIDE = 854, 480
"""Pixels: 480p, lying or standing."""
MEDIA_TYPE = "image/jpeg"

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def is_job_id(text: str) -> bool:
    """Whether the text may name a job; it becomes part of a key in Redis."""
    return _JOB_ID.fullmatch(text) is not None


def flaw(frame: Frame, most_bytes: int) -> str | None:
    """The first rule that the frame breaks, with what would be accepted; None for a good frame."""
    return _number_flaw(frame) or _picture_flaw(frame) or _data_flaw(frame, most_bytes)


def _number_flaw(frame: Frame) -> str | None:
    if not is_job_id(frame.job_id):
        return "job_id: must be 1 to 64 letters, digits, - or _"
    if not 1 <= frame.attempt <= ATTEMPT_MOST:
        return f"attempt: must be 1 to {ATTEMPT_MOST}, not {frame.attempt}"
    if frame.number >> ATTEMPT_SHIFT != frame.attempt:
        return (
            f"number: must be attempt * 2^{ATTEMPT_SHIFT} + count, not {frame.number} in attempt {frame.attempt}"
        )
    return None


def _picture_flaw(frame: Frame) -> str | None:
    if frame.step > frame.steps:
        return f"step: must be at most steps, {frame.steps}, not {frame.step}"
    if frame.frame >= frame.frames:
        return f"frame: must be below frames, {frame.frames}, not {frame.frame}"
    short, long = sorted((frame.width, frame.height))
    if not (1 <= short <= SHORT_SIDE and long <= LONG_SIDE):
        return (
            f"width, height: at most {LONG_SIDE}×{SHORT_SIDE} or {SHORT_SIDE}×{LONG_SIDE} pixels,"
            f" not {frame.width}×{frame.height}"
        )
    return None


def _data_flaw(frame: Frame, most_bytes: int) -> str | None:
    if frame.media_type != MEDIA_TYPE:
        return f"media_type: must be {MEDIA_TYPE}, not {frame.media_type[:40]!r}"
    if len(frame.data) > most_bytes:
        return f"data: must be at most {most_bytes} bytes, not {len(frame.data)}"
    if not (frame.data.startswith(_JPEG_START) and frame.data.endswith(_JPEG_END)):
        return "data: must be a whole JPEG file"
    try:
        frame.made_at.ToDatetime()
    except ValueError:
        return "made_at: must be a time of the years 1 to 9999"
    if not frame.HasField("made_at"):
        return "made_at: must be given"
    return None
