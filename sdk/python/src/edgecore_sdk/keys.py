"""A user's API keys, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class ApiKey:
    """One key. `shown` is how it begins; `secret` is the key itself, known only in the answer that made it."""

    id: str
    name: str
    scopes: tuple[str, ...]
    shown: str
    created_at: datetime
    secret: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> ApiKey:
        """Raises KeyError, TypeError or ValueError for a body that is not a key."""
        return cls(
            id=str(body["id"]),
            name=str(body["name"]),
            scopes=tuple(map(str, body["scopes"])),
            shown=str(body["shown"]),
            created_at=datetime.fromisoformat(body["created_at"]),
            secret=body.get("key"),
        )
