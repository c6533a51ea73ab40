"""What a lesson is to the loop that runs it: a module, the loss of one random batch, perhaps pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgecore_aiprod.training.config import Recipe


@dataclass(frozen=True)
class Dice:
    """One batch's randomness."""

    numpy: np.random.Generator
    torch: torch.Generator

    @classmethod
    def of(cls, *place: int) -> Dice:
        """`place` says which batch it is: the seed, the step, and its number within the step."""
        numpy = np.random.default_rng(place)
        generator = torch.Generator(torch.get_default_device())
        return cls(numpy, generator.manual_seed(int(numpy.integers(2**62))))


class Lesson(Protocol):
    """What is learned: a module and the loss of one random batch."""

    @property
    def model(self) -> nn.Module: ...

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one batch to descend, and figures for the log."""


@runtime_checkable
class Pictured(Protocol):
    """A lesson that can show what it has learned."""

    def samples(self, model: nn.Module) -> list[NDArray[np.uint8]]:
        """Clips (frames, height, width, 3) for a contact sheet, always of the same scenes or prompts, made by
        `model`, the averaged copy of the lesson's.
        """
