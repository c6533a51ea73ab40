"""The detector's accuracy by language: CLDR's captions, the same scenes in every locale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecore_aiprod.captions import lexicons
from edgecore_aiprod.evaluation.attributes import interval, summary
from edgecore_aiprod.evaluation.trials import Trial, prompts
from edgecore_aiprod.world import Scene


def language(locale: str) -> str:
    """The language of a locale: `pt` of `pt-PT`."""
    return locale.replace("_", "-").split("-")[0]


def captions_by_locale(
    clips: int, seed: int, locales: Sequence[str] | None = None
) -> list[tuple[str, str, Scene]]:
    """(locale, caption, scene) of `clips` scenes a locale."""
    return [
        (locale, prompt, scene)
        for locale in locales or sorted(lexicons())
        for prompt, scene in prompts(clips, seed, locale)
    ]


def measure(trials: Sequence[tuple[str, Trial]]) -> dict[str, Any]:
    """By locale and by language (the mean of its locales); the mean over languages and the worst.

    The worst of a hundred shares is low by chance alone when each is of few clips, so its interval is given.
    """
    grouped: dict[str, list[Trial]] = {}
    for locale, trial in trials:
        grouped.setdefault(locale, []).append(trial)
    locales = {locale: summary(group) for locale, group in grouped.items()}
    shares: dict[str, list[float]] = {}
    for locale, figures in locales.items():
        shares.setdefault(language(locale), []).append(figures["all"])
    languages = {name: float(np.mean(values)) for name, values in shares.items()}
    worst = min(languages, key=languages.__getitem__)
    clips = sum(len(grouped[locale]) for locale in grouped if language(locale) == worst)
    return {
        "locales": locales,
        "languages": languages,
        "mean": float(np.mean(list(languages.values()))),
        "worst": worst,
        "worst_share": languages[worst],
        "worst_interval": interval(languages[worst], clips),
    }
