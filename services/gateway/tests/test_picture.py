"""Pictures told by their headers, against files that Pillow writes."""

import base64
import io
import struct
from typing import Any

import pytest
from PIL import Image

from edgecore_gateway.domain.fields import Refused
from edgecore_gateway.domain.picture import BYTES_MOST, read_data_url, read_picture

SIDES = (16, 4096)


def encoded(kind: str, size: tuple[int, int] = (48, 32), mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 0).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (encoded("PNG"), "image/png"),
        (encoded("PNG", mode="RGBA"), "image/png"),
        (encoded("PNG", mode="I;16"), "image/png"),
        (encoded("JPEG"), "image/jpeg"),
        (encoded("JPEG", progressive=True, exif=b"Exif\0\0" + b"x" * 500), "image/jpeg"),
        (encoded("JPEG", mode="CMYK"), "image/jpeg"),
        (encoded("WEBP"), "image/webp"),
        (encoded("WEBP", lossless=True), "image/webp"),
        (encoded("WEBP", mode="RGBA", exif=b"Exif\0\0"), "image/webp"),
    ],
)
def test_every_kind_tells_its_size(data: bytes, media_type: str) -> None:
    picture = read_picture(data, media_type, *SIDES)
    assert (picture.media_type, picture.width, picture.height) == (media_type, 48, 32)
    url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    assert read_data_url(url, *SIDES) == picture


PNG = encoded("PNG")


@pytest.mark.parametrize(
    ("data", "claimed", "rule"),
    [
        (b"", "image/png", "must be a PNG, JPEG or WebP picture"),
        (b"GIF89a" + bytes(40), "image/gif", "must be a PNG, JPEG or WebP picture"),
        (PNG, "image/jpeg", "it is image/png, not image/jpeg"),
        (PNG[:-20], "image/png", "must be a whole image/png file"),
        (PNG[:20], "image/png", "must be a whole image/png file"),
        (encoded("JPEG")[:4], "image/jpeg", "must be a whole image/jpeg file"),
        (b"\xff\xd8" + b"\xff" * BYTES_MOST, "image/jpeg", "at most"),
        (b"\xff\xd8" + b"\xff" * 1_000_000, "image/jpeg", "must be a whole image/jpeg file"),
        (encoded("WEBP")[:-4], "image/webp", "must be a whole image/webp file"),
        (b"RIFF\0\0\0\0WEBP", "image/webp", "must be a whole image/webp file"),
        (encoded("PNG", (15, 16)), "image/png", "has 15 × 16"),
        (encoded("PNG", (4097, 16)), "image/png", "has 4097 × 16"),
        (PNG[:16] + struct.pack(">II", 2**31, 2**31) + PNG[24:], "image/png", "has 2147483648"),
        (PNG + bytes(BYTES_MOST), "image/png", "must have at most 8388608 bytes"),
    ],
)
def test_anything_else_is_refused(data: bytes, claimed: str, rule: str) -> None:
    with pytest.raises(Refused) as refused:
        read_picture(data, claimed, *SIDES)
    assert rule in refused.value.rule


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("data:", "must be a data URL"),
        ("data:image/png,abc", "must be a data URL"),
        ("data:text/html;base64,AAAA", "must be a data URL"),
        ("data:image/png;base64,", "must be a PNG, JPEG or WebP picture"),
        ("data:image/png;base64,AA A", "must be valid base64"),
        ("data:image/png;base64,AAA", "must be valid base64"),
        ("data:image/png;base64,AA==AAAA", "must be valid base64"),
        ("data:image/png;base64,Ä", "must be valid base64"),
        ("data:image/png;base64," + "A" * (BYTES_MOST // 3 * 4 + 8), "must have at most 8388608 bytes"),
    ],
)
def test_a_data_url_is_whole_or_refused(url: str, rule: str) -> None:
    with pytest.raises(Refused) as refused:
        read_data_url(url, *SIDES)
    assert rule in refused.value.rule


def test_a_picture_is_never_in_a_log() -> None:
    assert "data" not in repr(read_picture(PNG, "image/png", *SIDES))
