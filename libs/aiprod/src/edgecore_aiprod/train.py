"""`python -m edgecore_aiprod.train LESSON --config FILE`: run one lesson, going on where it was stopped.

`all` runs every lesson that has a config, in order; `plot` draws the curves of runs once more; `prepare`
encodes a folder of videos to train on; `restore` turns a release folder back into runs to go on from.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch

from edgecore_aiprod.errors import AiprodError, CheckpointError, TrainingError
from edgecore_aiprod.training.config import TrainConfig, read_config
from edgecore_aiprod.training.lesson import Lesson
from edgecore_aiprod.training.loop import Trainer
from edgecore_aiprod.training.parallel import Team, join
from edgecore_aiprod.training.plots import can_plot, draw_curves
from edgecore_aiprod.training.state import check_past, read_facts

#: In the order in which they build on each other.
LESSONS = ("vae", "text", "backbone", "decoder", "upsampler", "distilled", "lora")


def make_lesson(name: str, config: TrainConfig, runs: Path) -> Lesson:
    """`runs` holds the other lessons' folders: backbone, decoder and upsampler need a trained vae, the
    backbone a text encoder too, the distilled variant all three.
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
    if name == "lora":
        from edgecore_aiprod.training.lora import LoraLesson

        return LoraLesson(config, runs)
    if name == "upsampler":
        from edgecore_aiprod.training.upsampler import UpsamplerLesson

        return UpsamplerLesson(config, runs)
    if name == "distilled":
        from edgecore_aiprod.training.distilled import DistilledLesson

        return DistilledLesson(config, runs)
    from edgecore_aiprod.training.backbone import BackboneLesson

    return BackboneLesson(config, runs)


def train(name: str, config: TrainConfig, team: Team, options: argparse.Namespace) -> None:
    """One lesson from where it stands to its end, saying so. Raises TrainingError, OSError."""
    folder, end = options.runs / name, min(options.until or config.steps, config.steps)
    torch.set_num_threads(config.threads)
    with team.leader_first():
        if not options.force and _standing(folder, config) >= end:
            _say(team, f"{name}: has its {end} steps")
            return
        trainer = Trainer(make_lesson(name, config, options.runs), config, folder, team)
        resumed = trainer.resume(options.force)
    start, started = trainer.step, time.monotonic()
    _say(team, f"{name}: {'going on' if resumed else 'starting'} at step {start} of {end}, into {folder}")
    trainer.run(options.until, quiet=options.quiet)
    taken = timedelta(seconds=round(time.monotonic() - started))
    _say(team, f"{name}: {trainer.step - start} steps in {taken}")


def _standing(folder: Path, config: TrainConfig) -> int:
    """Steps done, under a curriculum that began like this one."""
    facts = read_facts(folder)
    if facts is None:
        return 0
    check_past(folder, facts, config)
    return facts.step


def _say(team: Team, text: str) -> None:
    if team.leads:
        print(text, flush=True)


def _run(options: argparse.Namespace) -> int:
    """The chosen lesson, or all."""
    try:
        if options.command == "all":
            configs = _configs(options.configs, options.steps)
        else:
            configs = {options.command: read_config(options.config, options.steps)}
    except (OSError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 2
    with join(options.device) as team:
        if not can_plot():
            _say(team, "no curves.png will be drawn: that needs edgecore-aiprod[train]")
        for name, config in configs.items():
            try:
                train(name, config, team, options)
            except (OSError, AiprodError, ValueError, FloatingPointError) as error:
                print(error, file=sys.stderr)
                return 1
    return 0


def _configs(folder: Path, steps: int | None = None) -> dict[str, TrainConfig]:
    """By lesson, those that the folder has. An adapter's is not among them: it needs a finished model and a
    folder of clips. Raises TrainingError.
    """
    files = {name: folder / f"{name}.toml" for name in LESSONS if name != "lora"}
    there = {name: file for name, file in files.items() if file.is_file()}
    if not there:
        raise TrainingError(str(folder), f"holds none of {', '.join(file.name for file in files.values())}")
    return {name: read_config(file, steps) for name, file in there.items()}


def _plot(options: argparse.Namespace) -> int:
    if not can_plot():
        print("needs edgecore-aiprod[train]", file=sys.stderr)
        return 1
    try:
        for name, config in _configs(options.configs).items():
            draw_curves(options.runs / name, config.phases)
    except (OSError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _prepare(options: argparse.Namespace) -> int:
    from edgecore_aiprod.checkpoint import load_model
    from edgecore_aiprod.pipeline import shipped_checkpoint
    from edgecore_aiprod.training.footage import BUCKETS
    from edgecore_aiprod.training.prepare import prepare

    try:
        vae = load_model(options.checkpoint or shipped_checkpoint()).vae
        buckets = tuple(options.bucket or BUCKETS)
        done = prepare(options.data, options.out, vae, buckets, options.quiet, options.copies)
    except (OSError, CheckpointError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.out}: {done.clips} clips, {done.encoded} of them encoded now")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from edgecore_aiprod.pipeline import shipped_checkpoint
    from edgecore_aiprod.training.restore import restore

    try:
        lessons = restore(options.checkpoint or shipped_checkpoint(), options.runs)
    except (OSError, CheckpointError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.runs}: {', '.join(lessons)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    from edgecore_aiprod.training.footage import BUCKETS, Bucket

    quiet = argparse.ArgumentParser(add_help=False)
    quiet.add_argument("--quiet", action="store_true", help="no progress bar")
    runs = argparse.ArgumentParser(add_help=False)
    runs.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs, one folder a lesson")
    common = argparse.ArgumentParser(add_help=False, parents=[quiet, runs])
    common.add_argument("--steps", type=int, help="train a lesson this many steps in all, not the configured")
    common.add_argument("--until", type=int, help="stop (and save) at this step; the schedule stays")
    common.add_argument(
        "--force", action="store_true", help="go on from a state that is not known or of another config"
    )
    common.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser = argparse.ArgumentParser(
        prog="python -m edgecore_aiprod.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in LESSONS:
        lesson = commands.add_parser(name, parents=[common], help=f"the {name}'s lesson")
        lesson.add_argument("--config", type=Path, required=True, help="TOML file, see configs/nano/")
    every = commands.add_parser("all", parents=[common], help="every lesson but lora, in order")
    every.add_argument("--configs", type=Path, required=True, help="folder of TOML files named by lesson")
    curves = commands.add_parser("plot", parents=[runs], help="draw curves.png of every lesson's run")
    curves.add_argument("--configs", type=Path, required=True, help="as of all")
    folder = commands.add_parser("prepare", parents=[quiet], help="encode a folder of videos to train on")
    folder.add_argument("--data", type=Path, required=True, help="videos and captions.csv or captions.jsonl")
    folder.add_argument(
        "-o", "--out", type=Path, required=True, help="folder of latents; only what is new is encoded"
    )
    folder.add_argument("--checkpoint", type=Path, help="whose autoencoder; the shipped nano if not given")
    folder.add_argument(
        "--bucket",
        type=Bucket.parse,
        action="append",
        metavar="FRAMESxHEIGHTxWIDTH",
        help=f"a size to bring clips to, may be repeated; default {', '.join(map(str, BUCKETS))}",
    )
    folder.add_argument(
        "--copies", type=int, choices=range(64), default=0, metavar="N",
        help="of each clip, moved a little: for an adapter from few clips; 0 to 63 (default 0)",
    )  # fmt: skip
    release = commands.add_parser("restore", parents=[runs], help="make runs of a release, to go on from")
    release.add_argument("--checkpoint", type=Path, help="its folder; the shipped nano if not given")
    return parser


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "prepare":
        return _prepare(options)
    if options.command == "restore":
        return _restore(options)
    if options.command == "plot":
        return _plot(options)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: this machine offers cpu only")
    return _run(options)


if __name__ == "__main__":
    raise SystemExit(main())
