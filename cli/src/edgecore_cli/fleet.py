"""`edgecore nodes`, `edgecore nodes drain|undrain NODE` and `edgecore decisions JOB`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edgecore_cli.connection import Directory, Key, Url, connect
from edgecore_cli.jobs import JobId, wide_console
from edgecore_sdk import Node

nodes = typer.Typer(help="What runs jobs, and who may.", invoke_without_command=True)
NodeId = Annotated[str, typer.Argument(help="the node's id")]


@nodes.callback()
def list_nodes(
    context: typer.Context, url: Url = None, key: Key = None, directory: Directory = Path("var")
) -> None:
    """List the nodes."""
    if context.invoked_subcommand is not None:
        return
    with connect(url, key, directory) as client:
        found = client.nodes()
    table = Table("node", "pool", "backend", "device", "jobs", "state", box=None, pad_edge=False)
    for node in found:
        jobs = f"{node.running}/{node.capacity}"
        table.add_row(node.id, node.pool, node.backend, node.device, jobs, _state(node))
    wide_console().print(table)


@nodes.command()
def drain(node_id: NodeId, url: Url = None, key: Key = None, directory: Directory = Path("var")) -> None:
    """Give a node no new work; it finishes what it has. For administrators."""
    with connect(url, key, directory) as client:
        node = client.drain(node_id)
    typer.echo(f"{node.id} {_state(node)}, {node.running} running")


@nodes.command()
def undrain(node_id: NodeId, url: Url = None, key: Key = None, directory: Directory = Path("var")) -> None:
    """Let a drained node take work again. For administrators."""
    with connect(url, key, directory) as client:
        node = client.drain(node_id, drain=False)
    typer.echo(f"{node.id} {_state(node)}, {node.running} running")


def decisions(job_id: JobId, url: Url = None, key: Key = None, directory: Directory = Path("var")) -> None:
    """Show why a job ran where it ran, or why it waits."""
    with connect(url, key, directory) as client:
        made = client.decisions(job_id)
    table = Table("attempt", "backend", "verdict", "code", "why", "when", box=None, pad_edge=False)
    for one in made:
        when = f"{one.decided_at.astimezone():%H:%M:%S}"
        table.add_row(str(one.attempt), one.backend, one.verdict, one.code, one.detail, when)
    wide_console().print(table)


def _state(node: Node) -> str:
    if not node.connected:
        return "gone"
    return "draining" if node.draining else "ready"
