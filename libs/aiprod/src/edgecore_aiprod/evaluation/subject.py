"""What is under evaluation, how much of it, and what a part of a report finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from rich.progress import track

from edgecore_aiprod.evaluation.pictures import Picture
from edgecore_aiprod.evaluation.trials import Trial, batched_trials, prompts
from edgecore_aiprod.pipeline import AiprodPipeline
from edgecore_aiprod.rules import GenerationRequest

_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """How much is measured; the defaults take about ten minutes on two free cores."""

    prompts: int = 200  # English clips, and as many for the Fréchet distance
    per_locale: int = 8  # clips in each of the 106 locales
    rebuilt: int = 40  # clips through the autoencoder at each size
    followed: int = 16  # clips a strength of the motion field
    repeats: int = 9  # passes timed
    seed: int = 7
    steps: int = 20
    guidance: float = 4.0
    locales: tuple[str, ...] = ()  # none named means all
    quiet: bool = False


class Found(NamedTuple):
    figures: dict[str, Any]
    pictures: list[Picture]


@dataclass(frozen=True)
class Subject:
    """A checkpoint under evaluation. What several parts need is made once."""

    pipeline: AiprodPipeline
    settings: Settings

    @property
    def template(self) -> GenerationRequest:
        return GenerationRequest("", steps=self.settings.steps, guidance=self.settings.guidance)

    @cached_property
    def english(self) -> list[Trial]:
        asked = list(prompts(self.settings.prompts, self.settings.seed))
        made = batched_trials(self.pipeline, asked, self.settings.seed, self.template)
        return list(self.track(made, "English clips", len(asked)))

    def track(self, stream: Iterable[_T], name: str, total: int) -> Iterable[_T]:
        return track(stream, name, total=total, disable=self.settings.quiet)
