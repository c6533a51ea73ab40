"""`stack.json`: what a running local stack tells other programs about itself."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "stack.json"


@dataclass(frozen=True)
class ChildRecord:
    """One child now: `pid` is that of the newest process, `ready` whether it answers."""

    pid: int
    ready: bool
    restarts: int
    log: str


@dataclass(frozen=True)
class Record:
    """`environment` maps each service to what it was started with, for one-off commands beside it."""

    pid: int
    url: str
    key_file: str
    password_file: str
    database_url: str
    kafka_bootstrap: str
    redis_url: str
    environment: dict[str, dict[str, str]]
    children: dict[str, ChildRecord]

    def write(self, directory: Path) -> None:
        """Whole or not at all; for its owner only, because it holds the database's password."""
        draft = directory / f".{NAME}.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
        draft.replace(directory / NAME)

    @classmethod
    def read(cls, directory: Path) -> Record | None:
        """None when there is none, or none that this version can read."""
        try:
            fields = json.loads((directory / NAME).read_text())
            children = {name: ChildRecord(**child) for name, child in fields.pop("children").items()}
            return cls(**fields, children=children)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    @staticmethod
    def remove(directory: Path) -> None:
        (directory / NAME).unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
