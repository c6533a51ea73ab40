"""`edgecore status`, `jobs` and `cancel`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from edgecore_cli.connection import Directory, Key, Url, connect
from edgecore_cli.generate import describe
from edgecore_sdk import Job

JobId = Annotated[str, typer.Argument(help="the job's id")]


def status(job_id: JobId, url: Url = None, key: Key = None, directory: Directory = Path("var")) -> None:
    """Show one job: its state, progress and attempts."""
    with connect(url, key, directory) as client:
        _show(client.status(job_id))


def jobs(
    state: Annotated[str | None, typer.Option(help="only those in this state, for example QUEUED")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="how many, newest first")] = 20,
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """List jobs."""
    with connect(url, key, directory) as client:
        page = client.jobs(state=state.upper() if state else None, limit=limit)
    table = Table("job", "state", "progress", "created", box=None, pad_edge=False)
    for job in page.jobs:
        table.add_row(job.id, job.state, f"{job.progress:.0%}", _when(job.created_at))
    wide_console().print(table)
    if page.has_more:
        typer.echo("there are more: raise --limit", err=True)


def cancel(job_id: JobId, url: Url = None, key: Key = None, directory: Directory = Path("var")) -> None:
    """Ask for the end of a job."""
    with connect(url, key, directory) as client:
        job = client.cancel(job_id)
    typer.echo(f"{job.id} {job.state}")


def _show(job: Job) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("job", job.id)
    table.add_row("state", job.state)
    table.add_row("progress", f"{job.progress:.0%}  {describe(job)}")
    table.add_row("created", _when(job.created_at))
    if job.finished_at is not None:
        table.add_row("finished", _when(job.finished_at))
    if job.eta_seconds is not None:
        table.add_row("ready in", f"{job.eta_seconds:.0f} s")
    if job.error is not None:
        table.add_row("error", f"{job.error.message} ({job.error.code})")
    if job.video_url is not None:
        table.add_row("video", job.video_url)
    for attempt in job.attempts:
        took = f"{attempt.measured_seconds:.1f} s" if attempt.measured_seconds is not None else ""
        told = (attempt.node, attempt.outcome, attempt.reason, took)
        table.add_row(f"attempt {attempt.number}", "  ".join(word for word in told if word))
    wide_console().print(table)


def wide_console() -> Console:
    """Rows stay whole when the output is not a terminal, so that other programs can read them."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 200
    return console


def _when(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
