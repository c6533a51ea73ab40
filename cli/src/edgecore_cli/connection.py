"""Which API a client command talks to: the one given, or the local stack that runs here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecore_cli.errors import CommandFailed
from edgecore_cli.record import Record, is_running
from edgecore_sdk import Client

Directory = Annotated[
    Path,
    typer.Option("--directory", "-d", envvar="EDGECORE_DIRECTORY", help="the local stack's state"),
]
Url = Annotated[str | None, typer.Option(envvar="EDGECORE_URL", help="of the API; by default the local stack's")]
Key = Annotated[
    str | None,
    typer.Option(envvar="EDGECORE_API_KEY", help="API key; by default the local stack's", show_envvar=True),
]


def connect(url: str | None, key: str | None, directory: Path) -> Client:
    """Raises CommandFailed when there is nothing to talk to."""
    if url is not None and key is not None:
        return Client(url, key)
    record = running_stack(directory)
    if url is not None and url.rstrip("/") != record.url:
        raise CommandFailed(f"{url} needs a key: give --key or EDGECORE_API_KEY")
    return Client(record.url, key or _read_key(Path(record.key_file)))


def running_stack(directory: Path) -> Record:
    """Raises CommandFailed unless a stack runs in `directory`."""
    record = Record.read(directory)
    if record is None or not is_running(record.pid):
        raise CommandFailed(
            f"no stack runs in {directory.resolve()}: start one with `edgecore up`, or give --url and --key"
        )
    return record


def _read_key(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise CommandFailed(f"cannot read the API key in {file}: {error.strerror}") from None
