"""Pictures from outside: what they are decides, whatever they are called, and broken ones are refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecore_aiprod import InvalidRequest
from edgecore_aiprod.image_file import BYTES, SIDE, decode_image, fit_image, read_image

_Y, _X = np.mgrid[0:48, 0:64]
SMOOTH = np.stack([4 * _X, 5 * _Y, 128 + _X - _Y], axis=-1).clip(0, 255).astype(np.uint8)
KINDS = ("PNG", "JPEG", "WEBP")


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(SMOOTH)).save(file, kind, **options)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is that large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_three_kinds_are_read(kind: str, tmp_path: Path) -> None:
    data = encoded(kind)
    pixels = decode_image(data)
    assert (pixels.shape, pixels.dtype) == ((48, 64, 3), np.uint8)
    assert np.abs(pixels.astype(int) - SMOOTH).mean() < (0.01 if kind == "PNG" else 5)
    path = tmp_path / f"photo.{kind}"
    path.write_bytes(data)
    assert np.array_equal(read_image(path), pixels)
    assert np.array_equal(decode_image(data, f"image/{kind.lower()}; q=1"), pixels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("claimed", [".png", ".jpg", ".webp", "image/png", "image/gif", ".exe"])
def test_a_name_that_lies_is_refused(kind: str, claimed: str) -> None:
    data = encoded(kind)
    if {".jpg": "JPEG"}.get(claimed, claimed.lstrip(".").removeprefix("image/").upper()) == kind:
        assert decode_image(data, claimed).shape == (48, 64, 3)
        return
    with pytest.raises(InvalidRequest, match=f"called what it is, {kind}") as caught:
        decode_image(data, claimed)
    assert caught.value.field == "image"


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG", b"GIF89a" + bytes(100), b"<svg/>", b"RIFF\0\0\0\0WAVE", b"%PDF-1.4", bytes(5000)],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="a PNG, JPEG or WebP file"):
        decode_image(data)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_is_refused(kind: str) -> None:
    data = encoded(kind)
    for length in [*range(12, 100), *range(100, len(data), 37), len(data) - 12, len(data) - 3]:
        with pytest.raises(InvalidRequest) as caught:
            decode_image(data[:length])
        assert caught.value.field == "image"


@pytest.mark.parametrize("kind", KINDS)
def test_broken_bytes_are_a_picture_or_a_sentence(kind: str) -> None:
    data, rng = encoded(kind), np.random.default_rng(5)
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(4, len(data), size=rng.integers(1, 8)):
            broken[place] = rng.integers(256)
        try:
            assert decode_image(bytes(broken)).dtype == np.uint8
        except InvalidRequest as error:
            assert len(str(error)) < 400  # noqa: PT017 (either outcome is right)


def test_bombs_are_refused_before_they_are_decoded() -> None:
    for width, height in ((SIDE + 1, 1), (1, SIDE + 1), (12_000, 12_000), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(InvalidRequest) as caught:
            decode_image(bomb(width, height))
        assert caught.value.field == "image"
    with pytest.raises(InvalidRequest, match=f"at most {SIDE} pixels a side"):
        decode_image(bomb(12_000, 12_000))
    with pytest.raises(InvalidRequest, match=f"at most {BYTES} bytes"):
        decode_image(encoded("PNG") + bytes(BYTES))


def test_pictures_are_taken_as_they_are_meant_to_be_seen() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    turned = decode_image(encoded("PNG", exif=exif))
    assert np.array_equal(turned, np.rot90(SMOOTH, -1))
    clear = Image.fromarray(np.dstack([SMOOTH, np.zeros((48, 64), np.uint8)]))
    assert (decode_image(encoded("PNG", clear)) == 255).all()
    grey = decode_image(encoded("PNG", Image.fromarray(np.full((20, 20), 40_000, np.uint16))))
    assert (grey == 40_000 >> 8).all()
    for mode in ("L", "P", "LA", "1"):
        assert decode_image(encoded("PNG", Image.fromarray(SMOOTH).convert(mode))).shape == (48, 64, 3)
    assert decode_image(encoded("JPEG", Image.fromarray(SMOOTH).convert("CMYK"))).shape == (48, 64, 3)
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    moving = encoded("WEBP", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    assert (decode_image(moving) == [255, 0, 0]).all()


def test_fitting_covers_the_frame_and_cuts_off_both_ends_alike() -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255
    fitted = fit_image(wide, 64, 64)
    assert fitted.shape == (64, 64, 3)
    assert fitted.min() > 200
    assert np.array_equal(fit_image(SMOOTH, 64, 48), SMOOTH)
