"""API keys: `edge_`, 43 random base62 characters (256 bits), and 6 more that are the CRC32 of what stands before.

The tail lets a mistyped or cut key be refused without a look at the database, and lets scanners of leaked
secrets recognise one. Keys are stored as SHA-256: of 256 random bits no slower hash is needed.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass

PREFIX = "edge_"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARACTERS = 43
TAIL_CHARACTERS = 6
SHOWN_CHARACTERS = 10
"""How much of a key may be shown to tell keys apart: the prefix and five characters."""

_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARACTERS + TAIL_CHARACTERS}}}", re.ASCII)


@dataclass(frozen=True)
class ApiKey:
    """A key that is well formed; whether it is anyone's only the database knows."""

    text: str

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def shown(self) -> str:
        return self.text[:SHOWN_CHARACTERS]

    def __repr__(self) -> str:
        return f"ApiKey({self.shown}…)"


def new_key() -> ApiKey:
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return ApiKey(body + _tail(body))


def parse_key(text: str) -> ApiKey | None:
    """The key, or None when the text cannot be one."""
    if not _SHAPE.fullmatch(text):
        return None
    body, tail = text[:-TAIL_CHARACTERS], text[-TAIL_CHARACTERS:]
    return ApiKey(text) if secrets.compare_digest(_tail(body), tail) else None


def _tail(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(TAIL_CHARACTERS):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
