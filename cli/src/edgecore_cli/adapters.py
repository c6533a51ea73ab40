"""`edgecore adapters add|list|remove`: your LoRA adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edgecore_cli.connection import Directory, Key, Url, connect
from edgecore_cli.jobs import wide_console

adapters = typer.Typer(help="Your LoRA adapters.", no_args_is_help=True)


@adapters.command()
def add(
    file: Annotated[Path, typer.Argument(help="a LoRA's safetensors file")],
    name: Annotated[str | None, typer.Option(help="what to call it [default: as it says itself]")] = None,
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Store an adapter. Its id is printed alone on standard output."""
    with connect(url, key, directory) as client:
        made = client.add_adapter(file, name)
    words = f"; its prompts say {', '.join(made.triggers)}" if made.triggers else ""
    typer.echo(f"{made.name}, rank {made.rank}, for {made.base}{words}", err=True)
    typer.echo(made.id)


@adapters.command("list")
def list_adapters(url: Url = None, key: Key = None, directory: Directory = Path("var")) -> None:
    """Show your adapters, newest first."""
    with connect(url, key, directory) as client:
        found = client.adapters()
    table = Table("adapter", "name", "base", "rank", "size", "triggers", "created", box=None, pad_edge=False)
    for one in found:
        size, when = f"{one.size_bytes / 1000:.0f} kB", f"{one.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(one.id, one.name, one.base, str(one.rank), size, ", ".join(one.triggers), when)
    wide_console().print(table)


@adapters.command()
def remove(
    adapter_id: Annotated[str, typer.Argument(help="the adapter's id, lora_…")],
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Delete an adapter. Jobs that have it go on."""
    with connect(url, key, directory) as client:
        client.delete_adapter(adapter_id)
    typer.echo(f"{adapter_id} removed")
