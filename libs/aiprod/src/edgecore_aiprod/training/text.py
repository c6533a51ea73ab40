"""The text encoder's lesson: each register says one topic of a caption, the same in every language.

A topic's names each have a prototype vector, one more stands for "not said", and the topic's register has to
come out at the right one (prototypical networks, Snell et al. 2017). So a scene ends at the same vectors
whatever language it was told in, and the backbone has one language to learn. The prototypes are thrown away.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgecore_aiprod.captions import TOPICS, Caption, caption
from edgecore_aiprod.presets import PRESETS, TextParams
from edgecore_aiprod.text import TextEncoder
from edgecore_aiprod.training.config import Recipe, TrainConfig
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.vocabulary import vocabulary
from edgecore_aiprod.world import sample_scene

_PULL = 1.0  # weight of the distance to the right prototype
_DRESSED = 0.15  # share of captions with a term of film that says nothing of the scene
_DRESSES = ("lens and focus", "light", "composition", "style and grade")


class Reader(nn.Module):
    """The encoder and, for training only, the prototypes (names + 1, out) of each topic."""

    def __init__(self, params: TextParams) -> None:
        super().__init__()
        self.encoder = TextEncoder(params)
        self.prototypes = nn.ParameterList(
            torch.randn(len(names) + 1, params.out) for names in TOPICS.values()
        )

    def forward(self, prompts: list[str]) -> tuple[Tensor, list[Tensor]]:
        """Registers (B, R, out), and by topic the logits (B, names + 1): squared distances, negated."""
        register_BRE = self.encoder.encode(prompts)
        return register_BRE, [
            -(register_BRE[:, topic, None] - prototype_NE).square().sum(dim=-1)
            / prototype_NE.shape[-1] ** 0.5
            for topic, prototype_NE in enumerate(self.prototypes)
        ]


def said(told: Caption) -> list[int]:
    """By topic the index of what the caption says; one past the names where it says nothing."""
    return [
        names.index(value) if (value := getattr(told, topic)) is not None else len(names)
        for topic, names in TOPICS.items()
    ]


@functools.cache
def _dresses() -> tuple[str, ...]:
    return tuple(term.term for term in vocabulary() if term.group in _DRESSES)


def dressed(told: Caption, rng: np.random.Generator) -> Caption:
    """With a term of the video vocabulary before or after it."""
    terms = _dresses()
    term = terms[int(rng.integers(len(terms)))]
    text = f"{told.text}, {term}" if rng.random() < 0.7 else f"{term}, {told.text}"
    return told._replace(text=text)


def byte_level(preset: str) -> TextParams:
    """The text encoder of a preset; this lesson is for the byte-level one."""
    params = PRESETS[preset].text
    if not isinstance(params, TextParams):
        raise ValueError(f"preset: one whose text encoder is byte-level, not {preset!r}")
    return params


class TextLesson:
    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.model: Reader = Reader(byte_level(config.preset))

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        told = [self._told(dice.numpy, recipe) for _ in range(recipe.batch)]
        truth_BQ = torch.tensor([said(one) for one in told])
        register_BRE, logits = self.model([one.text for one in told])
        losses, figures = [], {}
        for topic, (name, logit_BN) in enumerate(zip(TOPICS, logits, strict=True)):
            truth_B = truth_BQ[:, topic]
            away = (register_BRE[:, topic] - self.model.prototypes[topic][truth_B]).square().mean()
            losses.append(F.cross_entropy(logit_BN.float(), truth_B) + _PULL * away)
            figures[name] = float((logit_BN.argmax(-1) == truth_B).float().mean())
        return torch.stack(losses).sum(), figures

    @staticmethod
    def _told(rng: np.random.Generator, recipe: Recipe) -> Caption:
        if rng.random() < recipe.text_drop:
            return Caption("")
        told = caption(sample_scene(rng), rng, recipe.languages)
        return dressed(told, rng) if rng.random() < _DRESSED else told
