"""`edgecore watch`: see a video while it is made."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console, Group
from rich.live import Live
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text

from edgecore_cli.connection import Directory, Key, Url, connect
from edgecore_cli.errors import CommandFailed
from edgecore_cli.jobs import JobId
from edgecore_sdk import Client, PreviewEnd, PreviewFrame

UPPER_HALF = "▀"
# Pixels; the contract's limit is 854×480, either way round.
LONGEST_SIDE = 854
# Lines of the terminal that the picture leaves free: the progress line, and one for the cursor.
OTHER_LINES = 2


def watch(
    job_id: JobId,
    *,
    after: Annotated[int, typer.Option(min=0, help="the last frame number already seen")] = 0,
    save: Annotated[Path | None, typer.Option(help="folder for the pictures as they come, as JPEG files")] = None,
    url: Url = None,
    key: Key = None,
    directory: Directory = Path("var"),
) -> None:
    """Show a job's pictures while it is made; on no terminal, a line for each."""
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    with connect(url, key, directory) as client:
        try:
            end = _watch(client, job_id, after, save, console)
        except KeyboardInterrupt:
            typer.echo(f"job {job_id} goes on; to see it again: edgecore watch {job_id}", err=True)
            raise typer.Exit(130) from None
    console.print(f"{job_id} {end.state}", soft_wrap=True)
    if end.state == "ERROR":
        raise CommandFailed(f"job {job_id} ended in ERROR; to see why: edgecore status {job_id}")


def _watch(client: Client, job_id: str, after: int, save: Path | None, console: Console) -> PreviewEnd:
    """Until the end. The last picture stays on the screen."""
    live = Live(Text("waiting for pictures"), console=console, auto_refresh=False)
    if console.is_terminal:
        live.start(refresh=True)
    try:
        for event in client.preview(job_id, after):
            if isinstance(event, PreviewEnd):
                return event
            if save is not None:
                (save / f"{event.attempt:03d}-{event.number % 2**20:06d}.jpg").write_bytes(event.data)
            if console.is_terminal:
                live.update(_screen(event, console), refresh=True)
            else:
                console.print(_line(event), soft_wrap=True)
    finally:
        live.stop()
    raise AssertionError("a preview ends with its end")


def _screen(frame: PreviewFrame, console: Console) -> Group:
    line = Text(_line(frame), no_wrap=True, overflow="ellipsis")
    try:
        picture = half_blocks(frame.data, console.width, console.height - OTHER_LINES)
    except (OSError, ValueError) as error:  # a broken picture is no reason to stop
        return Group(Text(f"picture {frame.number} cannot be shown: {error}"), line)
    return Group(picture, line)


def _line(frame: PreviewFrame) -> str:
    """`step 12/30  picture 9/17  attempt 1  frame 1048588  21.4 kB  3 skipped`."""
    told = [
        f"step {frame.step}/{frame.steps}",
        f"picture {frame.frame + 1}/{frame.frames}",
        f"attempt {frame.attempt}",
        f"frame {frame.number}",
        f"{len(frame.data) / 1000:.1f} kB",
    ]
    return "  ".join([*told, f"{frame.skipped} skipped"] if frame.skipped else told)


def half_blocks(data: bytes, columns: int, lines: int) -> Segments:
    """The JPEG in a box of columns × lines cells; one cell shows two pixels, one above the other.

    Raises OSError or ValueError for what is not a picture of the contract's size.
    """
    with Image.open(BytesIO(data), formats=["JPEG"]) as picture:
        if max(picture.size) > LONGEST_SIDE:  # known from the header, before anything is decoded
            raise ValueError(f"{picture.width}×{picture.height} pixels are too many")
        scale = min(columns / picture.width, 2 * lines / picture.height)
        width = max(1, round(picture.width * scale))
        height = max(2, round(picture.height * scale) // 2 * 2)
        pixels = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR).tobytes()
    segments = []
    for top in range(0, height, 2):
        for column in range(width):
            upper, lower = (_rgb(pixels, (row * width + column) * 3) for row in (top, top + 1))
            segments.append(Segment(UPPER_HALF, Style(color=upper, bgcolor=lower)))
        segments.append(Segment.line())
    return Segments(segments)


def _rgb(pixels: bytes, at: int) -> str:
    return f"#{pixels[at : at + 3].hex()}"
