"""What a paid provider can make, and which of its offers comes nearest to what was asked for.

Providers sell whole seconds at a few sizes. What is ordered is the shortest offer that is not shorter than what
was asked for (the longest one if all are), in the picture shape nearest to it, and it is delivered as it comes. A
prompt beyond the provider's length is cut.
"""

import math
from dataclasses import dataclass

from edgecore.common.v1.common_pb2 import GenerationSpec


@dataclass(frozen=True)
class Shape:
    """A picture size in pixels."""

    width: int
    height: int

    def distance(self, width: int, height: int) -> float:
        """How much another size differs in its form, whichever of the two is the wider."""
        return round(abs(math.log(self.width / self.height) - math.log(width / height)), 6)


@dataclass(frozen=True)
class Offer:
    """One model of a provider: lengths in seconds, ascending, and shapes."""

    seconds: tuple[int, ...]
    shapes: tuple[Shape, ...]
    prompt_characters: int


@dataclass(frozen=True)
class Order:
    """What is bought; `seconds` is what will be billed."""

    prompt: str
    seconds: int
    shape: Shape
    seed: int


SEED_MAX = 2**32 - 1
"""What Runway takes; others take at least as much."""


def order(spec: GenerationSpec, offer: Offer) -> Order:
    """The order for a job that can be bought."""
    asked = spec.frames / spec.fps
    return Order(
        prompt=spec.prompt[: offer.prompt_characters],
        seconds=next((length for length in offer.seconds if length >= asked), offer.seconds[-1]),
        shape=min(offer.shapes, key=lambda shape: shape.distance(spec.width, spec.height)),
        seed=spec.seed % (SEED_MAX + 1),
    )
