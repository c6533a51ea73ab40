"""`python -m edgecore_aiprod.evaluate`: what the detector sees in clips the model makes for unseen prompts.

With `--report DIR` a whole evaluation: DIR/report.json and DIR/report.html. The parts are in `evaluation`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from rich.progress import track

from edgecore_aiprod.captions import lexicons
from edgecore_aiprod.errors import AiprodError
from edgecore_aiprod.evaluation.attributes import ATTRIBUTES, summary
from edgecore_aiprod.evaluation.parts import PARTS
from edgecore_aiprod.evaluation.report import write_report
from edgecore_aiprod.evaluation.subject import Settings
from edgecore_aiprod.evaluation.trials import Trial, generate_trials, reconstruct_trials
from edgecore_aiprod.pipeline import AiprodPipeline, shipped_checkpoint
from edgecore_aiprod.rules import GenerationRequest
from edgecore_aiprod.video import contact_sheet, write_png


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in ("prompts", "per_locale"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: at least 1")
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"--parts: {', '.join(unknown)}: there are {', '.join(PARTS)}")
    if options.report and "frechet" in options.parts and options.prompts < 2:
        parser.error("--prompts: at least 2 for the part frechet, which compares spreads")
    torch.set_num_threads(options.threads)
    try:
        return _report(options) if options.report else _trials(options)
    except (AiprodError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    usual = Settings()
    parser = argparse.ArgumentParser(prog="python -m edgecore_aiprod.evaluate", description=__doc__)
    parser.add_argument(
        "--prompts", type=int, default=usual.prompts, help="English clips to make (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=usual.seed, help="chooses prompts and noise (default %(default)s)"
    )
    parser.add_argument("--checkpoint", type=Path, help="folder; the shipped nano checkpoint if not given")
    parser.add_argument(
        "--reconstructions", action="store_true", help="judge the autoencoder alone, on unseen clips"
    )
    parser.add_argument(
        "--locale",
        choices=sorted(lexicons()),
        metavar="LOCALE",
        help="CLDR captions, e.g. fr or ja; with --report the only language",
    )
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--guidance", type=float, default=usual.guidance)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="write the first 12 clips as a contact sheet"
    )
    parser.add_argument(
        "--failures", action="store_true", help="list what was asked and seen where they differ"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object and no progress bar")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="evaluate everything; write report.json and report.html"
    )
    parser.add_argument(
        "--parts",
        type=lambda text: text.split(","),
        default=list(PARTS),
        metavar="A,B",
        help=f"of the report: {', '.join(PARTS)} (default all, about ten minutes on two free cores)",
    )
    parser.add_argument(
        "--per-locale",
        type=int,
        default=usual.per_locale,
        help="of the report: clips in each of the 106 locales (default %(default)s)",
    )
    return parser


def _report(options: argparse.Namespace) -> int:
    settings = Settings(
        prompts=options.prompts,
        per_locale=options.per_locale,
        seed=options.seed,
        steps=options.steps,
        guidance=options.guidance,
        locales=(options.locale,) if options.locale else (),
        quiet=options.json,
    )
    report = write_report(options.report, options.checkpoint or shipped_checkpoint(), settings, options.parts)
    if options.json:
        print(json.dumps(report))
    else:
        print(options.report / "report.html")
    return 0


def _trials(options: argparse.Namespace) -> int:
    pipeline = AiprodPipeline.from_pretrained(options.checkpoint)
    if options.reconstructions:
        stream = reconstruct_trials(pipeline, options.prompts, options.seed)
    else:
        template = GenerationRequest("", steps=options.steps, guidance=options.guidance)
        stream = generate_trials(pipeline, options.prompts, options.seed, template, options.locale)
    trials = list(track(stream, "clips", total=options.prompts, disable=options.json))
    if options.sheet:
        write_png(options.sheet, contact_sheet([trial.video for trial in trials[:12]]))
    figures = summary(trials)
    if options.json:
        told = {"seed": options.seed, "steps": options.steps, "guidance": options.guidance}
        print(json.dumps(figures | told))
        return 0
    if options.failures:
        for trial in (trial for trial in trials if not all(trial.right)):
            print(_difference(trial))
    for topic in (*ATTRIBUTES, "all"):
        print(f"{topic:8} {figures[topic]:7.1%}")
    print(f"{len(trials)} clips, {figures['seconds']:.2f} s each (median)")
    return 0


def _difference(trial: Trial) -> str:
    asked, seen = trial.scene, trial.reading
    return (
        f"{trial.prompt!r}: asked {asked.colour} {asked.shape} {asked.motion}, "
        f"seen {seen.colour} {seen.shape} {seen.motion} "
        f"(overlap {seen.overlap:.2f}, travel {seen.travel:.1f})"
    )


if __name__ == "__main__":
    raise SystemExit(main())
