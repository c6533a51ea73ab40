"""What jobs work with: pictures and LoRA adapters, as plain values."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]

Picture = str | PathLike[str] | bytes
"""Path or bytes of a PNG, JPEG or WebP file; what begins with upl_ or data: is an upload's id or a data URL."""


@dataclass(frozen=True)
class Upload:
    """An uploaded picture, sides in pixels; no new job can have it after `expires_at`."""

    id: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def parse(cls, body: Json) -> Upload:
        """Raises KeyError, TypeError or ValueError for a body that is not an upload."""
        return cls(
            id=str(body["id"]),
            media_type=str(body["media_type"]),
            width=int(body["width"]),
            height=int(body["height"]),
            size_bytes=int(body["size_bytes"]),
            sha256=str(body["sha256"]),
            created_at=datetime.fromisoformat(body["created_at"]),
            expires_at=datetime.fromisoformat(body["expires_at"]),
        )


@dataclass(frozen=True)
class Adapter:
    """A LoRA for the model preset `base`. A prompt has to say one of `triggers`; `hint` is an example of one."""

    id: str
    name: str
    base: str
    rank: int
    alpha: float
    triggers: tuple[str, ...]
    hint: str
    size_bytes: int
    sha256: str
    created_at: datetime

    @classmethod
    def parse(cls, body: Json) -> Adapter:
        """Raises KeyError, TypeError or ValueError for a body that is not an adapter."""
        return cls(
            id=str(body["id"]),
            name=str(body["name"]),
            base=str(body["base"]),
            rank=int(body["rank"]),
            alpha=float(body["alpha"]),
            triggers=tuple(map(str, body["triggers"])),
            hint=str(body["hint"]),
            size_bytes=int(body["size_bytes"]),
            sha256=str(body["sha256"]),
            created_at=datetime.fromisoformat(body["created_at"]),
        )


@dataclass(frozen=True)
class AdapterPage:
    """One page; `next` is the cursor of the following one, None on the last."""

    adapters: tuple[Adapter, ...]
    next: str | None

    @classmethod
    def parse(cls, body: Json) -> AdapterPage:
        """Raises KeyError, TypeError or ValueError for a body that is not such a page."""
        return cls(tuple(Adapter.parse(one) for one in body["data"]), body["next"] if body["has_more"] else None)


def read(picture: PathLike[str] | str | bytes) -> bytes:
    """Raises OSError."""
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()


def media_type(data: bytes) -> str:
    """By the first bytes. What is none of the three is called a PNG, for the server to say what is wrong."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[8:12] == b"WEBP" else "image/png"


def image_field(picture: Picture) -> str:
    """The field `image` of a job. Raises OSError."""
    if isinstance(picture, str) and picture.startswith(("upl_", "data:")):
        return picture
    data = read(picture)
    return f"data:{media_type(data)};base64,{base64.b64encode(data).decode()}"
