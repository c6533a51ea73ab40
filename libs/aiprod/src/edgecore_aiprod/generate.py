"""`python -m edgecore_aiprod.generate "a red circle moving right" -o out.mp4`: one prompt, one file."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from edgecore_aiprod.errors import CheckpointError, InvalidRequest
from edgecore_aiprod.image_file import read_image
from edgecore_aiprod.pipeline import AiprodPipeline, StepReport
from edgecore_aiprod.rules import VARIANTS, GenerationRequest, ModelRules, check_request
from edgecore_aiprod.video import write_mp4


def parse(arguments: list[str] | None) -> argparse.Namespace:
    defaults = GenerationRequest("")
    parser = argparse.ArgumentParser(prog="python -m edgecore_aiprod.generate", description=__doc__)
    parser.add_argument("prompt")
    parser.add_argument("-o", "--out", type=Path, default=Path("out.mp4"), help="MP4 file (default out.mp4)")
    parser.add_argument("--negative-prompt", default=defaults.negative_prompt)
    for name in ("width", "height", "frames", "steps", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--guidance", type=float, default=defaults.guidance)
    parser.add_argument("--image", type=Path, help="PNG, JPEG or WebP file, the first frame")
    motion = parser.add_mutually_exclusive_group()
    motion.add_argument(
        "--motion",
        type=vector,
        metavar="DX,DY",
        help="pixels a frame right and down; left is --motion=-1,0",
    )
    motion.add_argument("--motion-from", type=Path, metavar="CLIP", help="video file to take the motion of")
    parser.add_argument("--motion-strength", type=float, default=defaults.motion_strength, help="0 to 1")
    parser.add_argument("--variant", choices=VARIANTS, default=defaults.variant)
    parser.add_argument("--upscale", action="store_true", help="a second stage to twice the sides")
    parser.add_argument("--scale", type=int, default=4, help="repeat pixels in the file (default 4)")
    parser.add_argument("--rate", type=int, default=8, help="frames a second (default 8)")
    parser.add_argument("--checkpoint", type=Path, help="folder; the shipped nano checkpoint if not given")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    return parser.parse_args(arguments)


def vector(text: str) -> NDArray[np.float32]:
    """(2,) of "DX,DY". Raises ValueError, which argparse reports."""
    x, y = text.split(",")
    return np.array([float(x), float(y)], np.float32)


def requested(options: argparse.Namespace, rules: ModelRules) -> GenerationRequest:
    """Raises InvalidRequest, and OSError on files that are not there."""
    request = GenerationRequest(
        options.prompt,
        options.negative_prompt,
        options.width,
        options.height,
        options.frames,
        options.steps,
        options.guidance,
        options.seed,
        None if options.image is None else read_image(options.image),
        options.motion,
        options.motion_strength,
        options.variant,
        options.upscale,
    )
    if options.motion_from is None:
        return request
    from edgecore_aiprod.optical_flow import read_motion  # brings OpenCV

    check_request(request, rules)
    motion = read_motion(options.motion_from, request.frames, request.width, request.height)
    return replace(request, motion=motion)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    try:
        pipeline = AiprodPipeline.from_pretrained(options.checkpoint)
        request = requested(options, pipeline.rules)
        started = time.perf_counter()
        with Progress() as progress:
            task = progress.add_task("text", total=None)

            def show(report: StepReport) -> None:
                progress.update(task, completed=report.step, total=report.steps, description=report.stage)

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
