"""`edgecore keys list|create|revoke`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edgecore_cli.connection import Directory, Key, Url, connect
from edgecore_cli.jobs import wide_console

keys = typer.Typer(help="Your API keys.", no_args_is_help=True)


@keys.command("list")
def list_keys(url: Url = None, key: Key = None, directory: Directory = Path("var")) -> None:
    """Show your keys, newest first; their secrets are not known to anybody."""
    with connect(url, key, directory) as client:
        found = client.api_keys()
    table = Table("key", "name", "scopes", "begins", "created", box=None, pad_edge=False)
    for one in found:
        when = f"{one.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(one.id, one.name, " ".join(one.scopes), one.shown, when)
    wide_console().print(table)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="what the key is for")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="generate, read or admin; repeat for several [default: generate, read]"),
    ] = None,
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Make a key. It is printed alone on standard output, once."""
    with connect(url, key, directory) as client:
        made = client.create_key(name, scope)
    typer.echo(f"{made.id} ({' '.join(made.scopes)}); keep the key, it cannot be shown again:", err=True)
    typer.echo(made.secret)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="the key's id, key_…")],
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Have a key refused from now on."""
    with connect(url, key, directory) as client:
        client.revoke_key(key_id)
    typer.echo(f"{key_id} revoked")
