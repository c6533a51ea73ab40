"""Refresh tokens: `edgr_` and 256 random bits. Each is good for one use, which answers with the next one."""

import hashlib
import re
import secrets

PREFIX = "edgr_"
_SHAPE = re.compile(rf"{PREFIX}[\w-]{{43}}", re.ASCII)


def new_refresh_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def refresh_hash(token: str) -> bytes | None:
    """What is stored of a token; None when the text cannot be one."""
    return hashlib.sha256(token.encode()).digest() if _SHAPE.fullmatch(token) else None
