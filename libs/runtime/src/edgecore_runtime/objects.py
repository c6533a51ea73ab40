"""The artifact store: whole objects, written atomically, read in ranges; file, S3, GCS or Azure behind it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from obstore.exceptions import BaseError as StoreError
from obstore.exceptions import NotFoundError
from obstore.store import from_url

CHUNK = 256 * 1024
OPERATION_SECONDS = 60.0
READ_SECONDS = 20.0
"""Of one look or one chunk: somebody waits for it."""


class ObjectNotFound(LookupError):
    """No object has this key."""


class StorageFailed(OSError):
    """The store refused or is away; nothing is visible under the key."""


@dataclass(frozen=True)
class Stored:
    """What was written: size in bytes, SHA-256 in hexadecimal."""

    size: int
    sha256: str


class ObjectStore:
    """A bucket or a folder."""

    def __init__(self, url: str) -> None:
        options = {"mkdir": True} if url.startswith("file:") else {}
        if url.startswith("file:"):
            Path(url.removeprefix("file://")).mkdir(parents=True, exist_ok=True)
        self._store = from_url(url, **options)  # type: ignore[call-overload]

    async def put(self, key: str, path: Path) -> Stored:
        """Copy a local file to `key`; readers see all of it or nothing. Raises StorageFailed."""
        digest = await asyncio.to_thread(_sha256, path)
        try:
            async with asyncio.timeout(OPERATION_SECONDS):
                await self._store.put_async(key, path)
        except (StoreError, OSError, TimeoutError) as error:
            raise StorageFailed(f"cannot store {key}: {_first_line(error)}") from error
        return Stored(path.stat().st_size, digest)

    async def size(self, key: str) -> int:
        """Bytes under `key`; raises ObjectNotFound or StorageFailed."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                return int((await self._store.head_async(key))["size"])
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFound(key) from error
        except (StoreError, OSError) as error:
            raise StorageFailed(f"cannot read {key}: {_first_line(error)}") from error

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes from `start` up to, not including, `end`, in chunks; TimeoutError for a store that stalls."""
        for low in range(start, end, CHUNK):
            async with asyncio.timeout(READ_SECONDS):
                chunk = bytes(await self._store.get_range_async(key, start=low, end=min(low + CHUNK, end)))
            yield chunk

    async def delete(self, key: str) -> None:
        """Remove `key`; nothing happens if it is not there. Raises StorageFailed."""
        try:
            async with asyncio.timeout(OPERATION_SECONDS):
                await self._store.delete_async(key)
        except (NotFoundError, FileNotFoundError):
            return
        except (StoreError, OSError, TimeoutError) as error:
            raise StorageFailed(f"cannot remove {key}: {_first_line(error)}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    """The store's errors carry a debug dump below their first line."""
    return (str(error) or type(error).__name__).splitlines()[0]
