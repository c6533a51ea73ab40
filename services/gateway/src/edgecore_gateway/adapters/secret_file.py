"""One secret in a file that its owner alone can read."""

import os
from pathlib import Path

FILE_MODE = 0o600


def read_secret(path: Path) -> str | None:
    """The file's text, or None when there is none, or not one of ours."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def write_secret(path: Path, secret: str) -> None:
    """Atomically, and never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
