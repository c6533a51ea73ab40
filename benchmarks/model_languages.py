"""What the detector sees in clips for captions in 106 locales of 102 languages, and in free English.

`make bench NAME=model-languages`: 400 English clips and 20 a locale, 2,520 in all; about 20 minutes on two cores.
Clips are made in batches that equal the public pipeline's (tests/test_evaluation.py), at its defaults.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks import checkpoint as judged
from benchmarks.result import figure, share
from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_aiprod.evaluation import languages
from edgecore_aiprod.evaluation.attributes import ATTRIBUTES, summary
from edgecore_aiprod.evaluation.trials import Trial, batched_trials, prompts, rendered_trials
from edgecore_aiprod.world import Scene

ENGLISH, MEAN, WORST = 0.95, 0.90, 0.60
LANGUAGES = 100
_LOWEST = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    judged.add_options(parser, 400, "free English clips")
    parser.add_argument("--per-locale", type=int, default=20, help="clips in each locale (default 20)")


def run(seed: int, checkpoint: Path | None = None, clips: int = 400, per_locale: int = 20) -> dict[str, Any]:
    pipeline = judged.open_pipeline(checkpoint)
    asked = list(prompts(clips, seed))
    english = summary(_trials(pipeline, asked, seed, "English"))
    truth = summary(list(rendered_trials(asked)))
    told = languages.captions_by_locale(per_locale, seed)
    pairs = [(prompt, scene) for _, prompt, scene in told]
    trials = _trials(pipeline, pairs, seed, "all languages")
    found = languages.measure([(locale, trial) for (locale, _, _), trial in zip(told, trials, strict=True)])
    every = summary(trials)
    figures = [
        *judged.shares("English", english, truth, ENGLISH),
        figure("languages", len(found["languages"]), "languages", target=f"≥ {LANGUAGES}",
               ok=len(found["languages"]) >= LANGUAGES, n=len(told)),
        share("all three right, mean over languages", found["mean"], len(told), beside=truth["all"], least=MEAN),
        share(f"all three right, worst language ({found['worst']})", found["worst_share"],
              sum(languages.language(locale) == found["worst"] for locale, _, _ in told),
              beside=truth["all"], least=WORST),
    ]  # fmt: skip
    figures += [
        share(f"{name} right, all languages", every[name], len(told), beside=truth[name]) for name in ATTRIBUTES
    ]
    lowest = sorted(found["languages"].items(), key=lambda pair: pair[1])[:_LOWEST]
    low, high = found["worst_interval"]
    notes = [
        "beside: the detector on the rendered scenes of the English captions",
        f"English, all three: {judged.at_95(english['all'], clips)}",
        f"worst language: {low:.3f} to {high:.3f} at 95 %, and the lowest of many shares is low by chance too",
        "lowest: " + ", ".join(f"{name} {right:.2f}" for name, right in lowest),
    ]
    return {"name": "model-languages", "figures": figures, "notes": notes}


def _trials(pipeline: AiprodPipeline, asked: list[tuple[str, Scene]], seed: int, name: str) -> list[Trial]:
    return list(track(batched_trials(pipeline, asked, seed, GenerationRequest("")), name, len(asked)))
