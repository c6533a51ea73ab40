"""`python -m edgecore_aiprod.generate "a red circle moving right" -o out.mp4`: one prompt, one file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from rich.progress import Progress

from edgecore_aiprod.errors import CheckpointError, InvalidRequest
from edgecore_aiprod.pipeline import AiprodPipeline, StepReport
from edgecore_aiprod.rules import GenerationRequest
from edgecore_aiprod.video import write_mp4


def main(arguments: list[str] | None = None) -> int:
    defaults = GenerationRequest("")
    parser = argparse.ArgumentParser(prog="python -m edgecore_aiprod.generate", description=__doc__)
    parser.add_argument("prompt")
    parser.add_argument("-o", "--out", type=Path, default=Path("out.mp4"), help="MP4 file (default out.mp4)")
    parser.add_argument("--negative-prompt", default=defaults.negative_prompt)
    for name in ("width", "height", "frames", "steps", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--guidance", type=float, default=defaults.guidance)
    parser.add_argument("--scale", type=int, default=4, help="repeat pixels in the file (default 4)")
    parser.add_argument("--rate", type=int, default=8, help="frames a second (default 8)")
    parser.add_argument("--checkpoint", type=Path, help="folder; the shipped nano checkpoint if not given")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    request = GenerationRequest(
        options.prompt,
        options.negative_prompt,
        options.width,
        options.height,
        options.frames,
        options.steps,
        options.guidance,
        options.seed,
    )
    try:
        pipeline = AiprodPipeline.from_pretrained(options.checkpoint)
        started = time.perf_counter()
        with Progress() as progress:
            task = progress.add_task("text", total=request.steps)

            def show(report: StepReport) -> None:
                progress.update(task, completed=report.step, description=report.stage)

            video = pipeline(request, on_step=show)
        seconds = time.perf_counter() - started
        write_mp4(options.out, video, options.rate, options.scale)
    except (CheckpointError, InvalidRequest, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.out}: {len(video)} frames in {seconds:.2f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
