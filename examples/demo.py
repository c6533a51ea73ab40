"""One prompt in, one video out: starts the local stack, estimates, submits, shows the frames as they come, saves
the video in three formats, checks it, and shows what it cost and why it ran where it ran.

`make demo PROMPT="a blue heart moving up" OUT=heart.mp4`
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from edgecore_aiprod.detector import Reading, detect
from edgecore_cli.process import StackFailed, StackProcess, stack_process

FORMATS = ("mp4", "webm", "prores")

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
    console.print("The same in a browser: [bold]edgecore up[/bold], then open the link called Studio.")


def run(prompt: str, out: Path, directory: Path, phases: Phases) -> None:
    """Start the stack, do what a user does, stop the stack."""
    before = time.monotonic()
    with stack_process(directory) as stack:
        phases.seconds["start of the stack"] = time.monotonic() - before
        edgecore = Command(stack)
        console.rule("what it would cost")
        edgecore.run("estimate", prompt)
        console.rule("the model at work")
        with phases.timed("generation"):
            job = edgecore.read("generate", prompt, "--no-wait", *[f"--format={name}" for name in FORMATS])
            edgecore.run("watch", job)
        console.rule("what came of it")
        with phases.timed("download"):
            edgecore.run("download", job, "-o", str(out))
        edgecore.run("cost", job)
        edgecore.run("decisions", job)
        before = time.monotonic()
    phases.seconds["stop of the stack"] = time.monotonic() - before


class Command:
    """`edgecore`, talking to one stack."""

    def __init__(self, stack: StackProcess) -> None:
        self._environment = os.environ | {"EDGECORE_URL": stack.url, "EDGECORE_API_KEY": stack.api_key}

    def run(self, *words: str) -> None:
        self._call(words, None)

    def read(self, *words: str) -> str:
        return self._call(words, subprocess.PIPE).stdout.strip()

    def _call(self, words: Sequence[str], output: int | None) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "edgecore_cli", *words]
        return subprocess.run(command, env=self._environment, stdout=output, check=True, text=True)  # noqa: S603


def describe(frames: np.ndarray, seen: Reading) -> str:
    """What the file holds, and what a detector that never saw the prompt finds in its pixels."""
    count, height, width, _ = frames.shape
    what = f"a {seen.colour} {seen.shape}, moving: {seen.motion}"
    return f"{count} frames of {width}×{height}; in its pixels the detector sees {what}"


if __name__ == "__main__":
    main()
