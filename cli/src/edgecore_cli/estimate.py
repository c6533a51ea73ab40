"""`edgecore estimate`: what a video would cost, here and elsewhere. `edgecore cost`: what one did cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edgecore_cli import inputs
from edgecore_cli.connection import Directory, Key, Url, connect
from edgecore_cli.jobs import JobId, wide_console

POLL_S = 0.2


def estimate(
    prompt: Annotated[str, typer.Argument(help="what the video should show")],
    *,
    width: inputs.Width = None,
    height: inputs.Height = None,
    frames: inputs.Frames = None,
    steps: inputs.Steps = None,
    image: inputs.Image = None,
    motion: inputs.Motion = None,
    motion_strength: inputs.MotionStrength = None,
    variant: inputs.Variant = None,
    upscale: inputs.Upscale = False,
    adapter: inputs.Adapters = None,
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Compare what the video would cost on each backend. Nothing is made."""
    fields: dict[str, Any] = {
        "width": width,
        "height": height,
        "frames": frames,
        "steps": steps,
        **inputs.conditions(image, motion, motion_strength, variant, upscale, adapter),
    }
    with connect(url, key, directory) as client:
        found = client.estimate(prompt, **fields)
    table = Table(
        "backend", "model", "US$", "90 % between", "ready in", "available", "how", box=None, pad_edge=False
    )
    for one in found.candidates:
        ready = "" if one.eta_seconds is None else f"{one.eta_seconds:.0f} s"
        between = f"{one.low} – {one.high}"
        table.add_row(
            one.backend, one.model, str(one.amount), between, ready, "yes" if one.available else "no", one.detail
        )
    wide_console().print(table)
    if found.recommended is not None:
        typer.echo(f"take {found.recommended.backend} {found.recommended.model}: {found.reason}")


def cost(
    job_id: JobId,
    wait: Annotated[float, typer.Option(min=0, max=300, help="seconds to wait for the first line")] = 5.0,
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Show a job's ledger lines and their sum. They come within moments of an attempt's end."""
    deadline = time.monotonic() + wait
    with connect(url, key, directory) as client:
        while not (found := client.cost(job_id)).lines and time.monotonic() < deadline:
            time.sleep(POLL_S)
    table = Table("attempt", "kind", "quantity", "US$", "price", box=None, pad_edge=False)
    for line in found.lines:
        table.add_row(str(line.attempt), line.kind, f"{line.quantity:g}", str(line.amount), line.price_id)
    wide_console().print(table)
    typer.echo(f"in all {found.actual or 0} US$; estimated {found.estimated or 0}; {found.reservation}")
