"""The key of a laptop: made on first start, kept in a file that its owner alone can read."""

import asyncio
import os
from pathlib import Path

from edgecore_gateway.adapters.keys import add_key, find_owner
from edgecore_gateway.domain.api_keys import ApiKey, new_key, parse_key
from edgecore_runtime import logs
from edgecore_runtime.database import Database

USER_ID, USER_NAME = "user_dev", "Development"
FILE_MODE = 0o600

log = logs.get(__name__)


class DevelopmentKey:
    """A component that ends its work in `start`: afterwards the file holds a valid key of `user_dev`."""

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path

    async def start(self) -> None:
        """Keep the file's key if the database knows it; otherwise make another."""
        known = _read(self._path)
        async with self._database.transaction() as session:
            if known is not None and await find_owner(session, known) == USER_ID:
                return
            key = new_key()
            await add_key(session, USER_ID, USER_NAME, key)
            _write(self._path, key)
        log.info("made a development key", path=str(self._path), shown=key.shown)

    async def stop(self) -> None:
        """Nothing runs."""

    async def wait_failed(self) -> None:
        await asyncio.Event().wait()


def _read(path: Path) -> ApiKey | None:
    try:
        return parse_key(path.read_text(encoding="ascii").strip())
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _write(path: Path, key: ApiKey) -> None:
    """Atomically, and never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w") as file:
        file.write(key.text + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
