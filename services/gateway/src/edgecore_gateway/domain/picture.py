"""Pictures that callers send: PNG, JPEG or WebP, told by their first bytes.

Only the header is read, by the few lines below: a decoder has no place at the edge. The node that decodes the
picture has the last word on whether it is whole.
"""

import binascii
import re
import struct
from dataclasses import dataclass, field

from edgecore_gateway.domain.fields import Refused

BYTES_MOST = 8 * 1024 * 1024
ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
"""Of a file, by media type; these are the types that are accepted."""
SEGMENTS_MOST = 4096
"""Of a JPEG before its size is told; ordinary ones have about ten."""

_DATA_URL = re.compile(r"data:(image/[a-z]{1,10});base64,", re.ASCII | re.IGNORECASE)
_ALIASES = {"image/jpg": "image/jpeg"}


@dataclass(frozen=True)
class Picture:
    """Sides are pixels as stored, not turned as EXIF may ask."""

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int


def read_picture(data: bytes, claimed: str, low: int, high: int) -> Picture:
    """The picture in `data`, whose media type is said to be `claimed`, with sides of `low` to `high` pixels.

    Raises Refused.
    """
    if len(data) > BYTES_MOST:
        raise Refused(f"must have at most {BYTES_MOST} bytes, has {len(data)}")
    found = _media_type(data)
    if found is None:
        raise Refused("must be a PNG, JPEG or WebP picture")
    if _ALIASES.get(claimed.lower(), claimed.lower()) != found:
        raise Refused(f"must be what it is called: it is {found}, not {claimed}")
    try:
        width, height = _SIDES[found](data)
    except (struct.error, IndexError, ValueError) as error:
        raise Refused(f"must be a whole {found} file") from error
    if not (low <= width <= high and low <= height <= high):
        raise Refused(f"must have sides from {low} to {high} pixels, has {width} × {height}")
    return Picture(data, found, width, height)


def read_data_url(url: str, low: int, high: int) -> Picture:
    """The picture in `data:image/…;base64,…`. Raises Refused."""
    head = _DATA_URL.match(url)
    if head is None:
        raise Refused("must be a data URL like data:image/png;base64,…")
    if len(url) - head.end() > (BYTES_MOST + 2) // 3 * 4:
        raise Refused(f"must have at most {BYTES_MOST} bytes")
    try:
        data = binascii.a2b_base64(url[head.end() :], strict_mode=True)
    except ValueError as error:
        raise Refused("must be valid base64 after the comma") from error
    return read_picture(data, head[1], low, high)


def _media_type(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or b"IEND\xaeB`\x82" not in data:
        raise ValueError("cut off")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    place = 2
    for _ in range(SEGMENTS_MOST):
        if data[place] != 0xFF:
            raise ValueError("no marker where one should be")
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", data, place + 2)
            place += 2 + length
    raise ValueError("no size")


def _webp(data: bytes) -> tuple[int, int]:
    if len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise ValueError("cut off")
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


_SIDES = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}
