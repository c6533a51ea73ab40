"""The command's tree, and the one place where errors become a line on stderr and an exit code."""

from __future__ import annotations

import sys

import stamina.instrumentation
import typer

from edgecore_cli import adapters, estimate, fleet, generate, jobs, keys, maintenance, up, watch
from edgecore_cli.errors import CommandFailed
from edgecore_sdk import EdgecoreError

app = typer.Typer(
    name="edgecore",
    help="Run EDGECORE on this machine, and generate videos with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(generate.generate)
app.command()(generate.download)
app.command()(estimate.estimate)
app.command()(estimate.cost)
app.command()(jobs.status)
app.command()(jobs.jobs)
app.command()(jobs.cancel)
app.command()(watch.watch)
app.command()(fleet.decisions)
app.add_typer(fleet.nodes, name="nodes")
app.add_typer(adapters.adapters, name="adapters")
app.add_typer(keys.keys, name="keys")
app.add_typer(maintenance.outbox, name="outbox")
app.add_typer(maintenance.dlq, name="dlq")


def main() -> None:
    """Exit codes: 0 done, 1 failed with a line on stderr, 2 wrong usage, 130 Ctrl-C."""
    # A repeated request is no news for a terminal.
    stamina.instrumentation.set_on_retry_hooks([])
    try:
        app()
    except CommandFailed as failure:
        _complain(str(failure), failure.details)
    except EdgecoreError as error:
        _complain(str(error))
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _complain(message: str, details: str = "") -> None:
    typer.echo(f"edgecore: {message}", err=True)
    if details:
        typer.echo(details, err=True)
    sys.exit(1)
