"""One prompt in, one video out: starts the local stack, submits, shows progress, saves and checks the video.

`make demo PROMPT="a blue heart moving up" OUT=heart.mp4`
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from edgecore_aiprod.detector import Reading, detect
from edgecore_cli.process import StackFailed, stack_process

console = Console()


class Phases:
    """How long each phase took, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started

    def show(self) -> None:
        table = Table("phase", "seconds", title="Where the time went")
        for name, seconds in self.seconds.items():
            table.add_row(name, f"{seconds:.1f}")
        table.add_row("in all", f"{sum(self.seconds.values()):.1f}", style="bold")
        console.print(table)


def frames_of(path: Path) -> np.ndarray:
    """Decode the whole video to (frames, height, width, 3) bytes of RGB."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", default="a red circle moving right")
    parser.add_argument("--out", type=Path, default=Path("out.mp4"))
    parser.add_argument("--directory", type=Path, default=Path("var"), help="the stack's state")
    parser.add_argument("--setup-started", type=float, default=time.time(), help="seconds since 1970")
    arguments = parser.parse_args()

    phases = Phases()
    phases.seconds["setup"] = time.time() - arguments.setup_started
    try:
        run(arguments.prompt, arguments.out, arguments.directory.resolve(), phases)
    except (StackFailed, subprocess.CalledProcessError) as error:
        sys.exit(f"demo: {error}")
    with phases.timed("check of the video"):
        frames = frames_of(arguments.out)
        seen = detect(frames)
    console.print(f"\n[bold]{arguments.out}[/bold]: {describe(frames, seen)}")
    phases.show()


def run(prompt: str, out: Path, directory: Path, phases: Phases) -> None:
    """Start the stack, generate, stop the stack."""
    before = time.monotonic()
    with stack_process(directory) as stack:
        phases.seconds["start of the stack"] = time.monotonic() - before
        environment = os.environ | {"EDGECORE_URL": stack.url, "EDGECORE_API_KEY": stack.api_key}
        command = [sys.executable, "-m", "edgecore_cli", "generate", prompt, "-o", str(out)]
        with phases.timed("generation"):
            subprocess.run(command, env=environment, check=True)  # noqa: S603
        before = time.monotonic()
    phases.seconds["stop of the stack"] = time.monotonic() - before


def describe(frames: np.ndarray, seen: Reading) -> str:
    """What the file holds, and what a detector that never saw the prompt finds in its pixels."""
    count, height, width, _ = frames.shape
    what = f"a {seen.colour} {seen.shape}, moving: {seen.motion}"
    return f"{count} frames of {width}×{height}; in its pixels the detector sees {what}"


if __name__ == "__main__":
    main()
