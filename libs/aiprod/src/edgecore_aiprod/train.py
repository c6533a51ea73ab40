"""`python -m edgecore_aiprod.train LESSON --config FILE`: run one lesson, resuming what is there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from edgecore_aiprod.training.config import TrainConfig, read_config
from edgecore_aiprod.training.loop import Lesson, Trainer

LESSONS = ("vae", "text", "backbone", "decoder")


def make_lesson(name: str, config: TrainConfig, runs: Path) -> Lesson:
    """`runs` holds the other lessons' folders: backbone and decoder need a trained vae, the backbone a text
    encoder too.
    """
    if name == "vae":
        from edgecore_aiprod.training.vae import VaeLesson

        return VaeLesson(config)
    if name == "text":
        from edgecore_aiprod.training.text import TextLesson

        return TextLesson(config)
    if name == "decoder":
        from edgecore_aiprod.training.decoder import DecoderLesson

        return DecoderLesson(config, runs)
    from edgecore_aiprod.training.backbone import BackboneLesson

    return BackboneLesson(config, runs)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edgecore_aiprod.train", description=__doc__)
    parser.add_argument("lesson", choices=LESSONS, help="vae and text first; backbone and decoder need them")
    parser.add_argument("--config", type=Path, required=True, help="TOML file, see configs/nano/")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs, one folder a lesson")
    parser.add_argument(
        "--steps", type=int, help="train this many steps in all instead of the configured number"
    )
    parser.add_argument("--until", type=int, help="stop (and save) at this step; the schedule stays")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    try:
        config = read_config(options.config, steps=options.steps)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    torch.set_num_threads(config.threads)
    trainer = Trainer(
        make_lesson(options.lesson, config, options.runs), config, options.runs / options.lesson
    )
    if trainer.resume():
        print(f"resuming {trainer.state_path} at step {trainer.step}")
    trainer.run(until=options.until, quiet=options.quiet)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
