"""Pictures that users send: PNG, JPEG or WebP bytes → RGB array, or an InvalidRequest for the field "image".

What the file is, is read from its first bytes; a name or media type that says something else is refused. The
size is read from the header and checked before anything is decoded.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgecore_aiprod.errors import InvalidRequest

BYTES = 16 * 2**20  # the most a file may have
SIDE = 4096  # pixels, the most a side may have; 50 MB decoded
#: File name endings and media types, by Pillow's name of the format.
FORMATS: dict[str, frozenset[str]] = {
    "PNG": frozenset({".png", "image/png"}),
    "JPEG": frozenset({".jpg", ".jpeg", "image/jpeg"}),
    "WEBP": frozenset({".webp", "image/webp"}),
}


def read_image(path: Path) -> NDArray[np.uint8]:
    """As `decode_image`, held to the file's name. Raises OSError too."""
    with path.open("rb") as file:
        return decode_image(file.read(BYTES + 1), path.suffix)


def decode_image(data: bytes, claimed: str = "") -> NDArray[np.uint8]:
    """RGB (H, W, 3) as it is meant to be seen: turned as its EXIF orientation says, on white where
    transparent, the first picture of an animation.

    `claimed` is a file name's ending (".png") or a media type ("image/png"), "" if nothing is claimed.
    Raises InvalidRequest on more than BYTES bytes or SIDE pixels a side, on what is not PNG, JPEG or WebP or
    not what is claimed, and on data that are cut off or broken.
    """
    if len(data) > BYTES:
        raise InvalidRequest("image", f"at most {BYTES} bytes", f"{len(data)} bytes or more", BYTES)
    kind = _kind(data)
    if claimed and claimed.partition(";")[0].strip().lower() not in FORMATS[kind]:
        raise InvalidRequest("image", f"called what it is, {kind}: {sorted(FORMATS[kind])}", claimed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            return _decode(data, kind)
    except InvalidRequest:
        raise
    except Exception as error:  # Pillow's decoders raise whatever broken bytes make them raise
        raise InvalidRequest("image", f"a whole {kind} file ({error})", f"{len(data)} bytes") from error


def fit_image(image_HWC: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scaled (Lanczos) to cover width × height, what stands over cut off at both ends alike."""
    fitted = ImageOps.fit(Image.fromarray(image_HWC), (width, height), Image.Resampling.LANCZOS)
    return np.array(fitted)


def _kind(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise InvalidRequest("image", "a PNG, JPEG or WebP file", f"{len(data)} bytes that begin {data[:8]!r}")


def _decode(data: bytes, kind: str) -> NDArray[np.uint8]:
    # Pillow makes do with files cut off near their end.
    if kind == "WEBP" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise ValueError("cut off")
    if kind == "PNG" and b"IEND\xaeB`\x82" not in data:
        raise ValueError("cut off")
    with Image.open(io.BytesIO(data), formats=[kind]) as picture:
        if max(picture.size) > SIDE:
            raise InvalidRequest("image", f"at most {SIDE} pixels a side", picture.size)
        picture.verify()  # a PNG's checksums; afterwards the picture has to be opened again
    with Image.open(io.BytesIO(data), formats=[kind]) as picture:
        turned = ImageOps.exif_transpose(picture)
        if turned.mode.startswith("I"):  # sixteen bits of grey
            grey = np.asarray(turned).astype(np.int64) >> 8
            return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
        if turned.has_transparency_data:
            turned = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned.convert("RGBA"))
        return np.array(turned.convert("RGB"))
