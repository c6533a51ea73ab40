"""Files that are whole or not there: written beside their place and moved to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial(path: Path) -> Path:
    """Where `path` lies until it is whole."""
    return path.with_name(f"{path.name}.partial")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The place to write to; what is there at the end replaces `path`, and after an error `path` stays."""
    yield partial(path)
    os.replace(partial(path), path)
