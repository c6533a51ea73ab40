"""`edgecore generate`: one prompt in, one video out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from edgecore_cli import inputs
from edgecore_cli.connection import Directory, Key, Url, connect
from edgecore_cli.errors import CommandFailed
from edgecore_sdk import Client, Job

ENDINGS = {"prores": ".mov"}
"""File name endings that are not the format's name."""

WAITING = {"INIT": "accepted", "QUEUED": "queued", "ALLOCATED": "starting", "FINALIZING": "finishing"}


def generate(
    prompt: Annotated[str, typer.Argument(help="what the video should show")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write")] = Path("out.mp4"),
    width: inputs.Width = None,
    height: inputs.Height = None,
    frames: inputs.Frames = None,
    fps: Annotated[int | None, typer.Option(help="frames per second")] = None,
    steps: inputs.Steps = None,
    guidance: Annotated[float | None, typer.Option(help="how closely to follow the prompt")] = None,
    seed: Annotated[int | None, typer.Option(help="for the same video again")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="what it should not show")] = None,
    image: inputs.Image = None,
    motion: inputs.Motion = None,
    motion_strength: inputs.MotionStrength = None,
    variant: inputs.Variant = None,
    upscale: inputs.Upscale = False,
    adapter: inputs.Adapters = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="mp4, webm or prores; may be repeated; each its own file")
    ] = None,
    max_cost: Annotated[str | None, typer.Option(help="the most to pay, US dollars")] = None,
    wait: Annotated[bool, typer.Option(help="wait for the video and write it")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="seconds to wait")] = 3600.0,
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Generate a video from PROMPT. What is not given, the model decides."""
    if wait and not out.absolute().parent.is_dir():
        raise CommandFailed(f"cannot write {out}: there is no folder {out.absolute().parent}")
    fields: dict[str, Any] = {
        "width": width,
        "height": height,
        "frames": frames,
        "fps": fps,
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
        "negative_prompt": negative_prompt,
        **inputs.conditions(image, motion, motion_strength, variant, upscale, adapter),
        "formats": formats or None,
        "max_cost": max_cost,
    }
    with connect(url, key, directory) as client:
        job = client.generate(prompt, **fields)
        if not wait:
            typer.echo(job.id)
            return
        try:
            _finish(client, job, out, timeout)
        except KeyboardInterrupt:
            message = f"job {job.id} goes on; to end it: edgecore cancel {job.id}"
            typer.echo(message, err=True)
            raise typer.Exit(130) from None


def _finish(client: Client, job: Job, out: Path, timeout_s: float) -> None:
    began = time.monotonic()
    with Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        bar = progress.add_task("accepted", total=1.0)
        done = client.wait(
            job.id,
            timeout_s,
            lambda job: progress.update(bar, description=describe(job), completed=job.progress),
        )
        progress.update(bar, description="downloading")
        files = _download(client, done, out)
        progress.update(bar, description="done", completed=1.0)
    took = time.monotonic() - began
    for file in files:
        typer.echo(f"{file}  {file.stat().st_size / 1000:.0f} kB  {took:.1f} s  job {job.id}")


def _download(client: Client, done: Job, out: Path) -> list[Path]:
    """The first format as `out`, the others beside it with their own endings, none over another."""
    files = [client.download(done.id, out)]
    for one in done.renditions[1:]:
        ending = ENDINGS.get(one.format, f".{one.format}")
        beside = out.with_suffix(ending)
        if beside in files:  # the first format was given this one's ending
            beside = out.with_name(f"{out.stem}-{one.format}{ending}")
        files.append(client.download(done.id, beside, one.format))
    return files


def download(
    job_id: Annotated[str, typer.Argument(help="the job's id")],
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write; further formats beside it")] = Path(
        "out.mp4"
    ),
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Save a delivered job's video, in every format that was asked for."""
    with connect(url, key, directory) as client:
        for file in _download(client, client.status(job_id), out):
            typer.echo(f"{file}  {file.stat().st_size / 1000:.0f} kB")


def describe(job: Job) -> str:
    """`denoise 12/30`, or where it waits: `queued, number 3`."""
    if job.stage and job.state in ("GENERATING", "FINALIZING"):
        return f"{job.stage} {job.step}/{job.steps}" if job.step is not None and job.steps else job.stage
    text = WAITING.get(job.state, job.state.lower())
    if job.state == "QUEUED" and job.queue_position:
        text += f", number {job.queue_position}"
    if len(job.attempts) > 1:
        text += f" (attempt {len(job.attempts)})"
    return text
