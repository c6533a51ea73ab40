"""What a request may ask of a preset, as data, and the check. Imports nothing heavy.

The rules' ranges are what the code accepts; what the checkpoint was trained for is narrower and stands in
`trained`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgecore_aiprod.errors import InvalidRequest


@dataclass(frozen=True)
class Range:
    """Integers low, low + step, … up to high."""

    low: int
    high: int
    step: int = 1

    def nearest(self, value: int) -> int:
        """The closest member; of two equally close ones the smaller."""
        above = min(max(value, self.low), self.high) - self.low
        return self.low + (above + (self.step - 1) // 2) // self.step * self.step

    def __contains__(self, value: object) -> bool:
        return (
            isinstance(value, int) and self.low <= value <= self.high and (value - self.low) % self.step == 0
        )


@dataclass(frozen=True)
class ModelRules:
    """Sides in pixels, clip length in frames, prompts in characters (code points)."""

    name: str
    width: Range
    height: Range
    frames: Range
    steps: Range
    guidance: tuple[float, float]
    prompt: tuple[int, int]
    negative_prompt: tuple[int, int]
    trained: str  # what the checkpoint saw; outside it requests run, and quality is not promised


NANO_RULES = ModelRules(
    name="nano",
    width=Range(64, 128, 16),
    height=Range(64, 128, 16),
    frames=Range(5, 33, 4),
    steps=Range(1, 50),
    guidance=(0.0, 20.0),
    prompt=(1, 2000),
    negative_prompt=(0, 2000),
    trained="64×64 pixels, 17 frames; nine colours × circle, square, heart × nine motions",
)

MODEL_RULES: Mapping[str, ModelRules] = MappingProxyType({"nano": NANO_RULES})

_SEED_HIGH = 2**63 - 1


@dataclass(frozen=True)
class GenerationRequest:
    """One clip to make. Not checked when built; the pipeline, or `check_request`, does that."""

    prompt: str
    negative_prompt: str = ""
    width: int = 64
    height: int = 64
    frames: int = 17
    steps: int = 20
    guidance: float = 4.0
    seed: int = 0


def check_request(request: GenerationRequest, rules: ModelRules) -> None:
    """Raises InvalidRequest for the first field that breaks a rule."""
    for field in ("prompt", "negative_prompt"):
        _check_text(field, getattr(request, field), getattr(rules, field))
    sides = "a multiple of {0.step} from {0.low} to {0.high}"
    _check_integer("width", request.width, rules.width, sides)
    _check_integer("height", request.height, rules.height, sides)
    _check_integer("frames", request.frames, rules.frames, "4k+1 from {0.low} to {0.high}")
    _check_integer("steps", request.steps, rules.steps, "from {0.low} to {0.high}")
    _check_integer("seed", request.seed, Range(0, _SEED_HIGH), "from {0.low} to {0.high}")
    low, high = rules.guidance
    guidance = request.guidance
    if isinstance(guidance, bool) or not isinstance(guidance, int | float) or math.isnan(guidance):
        raise InvalidRequest("guidance", f"a number from {low} to {high}", guidance)
    if not low <= guidance <= high:
        raise InvalidRequest("guidance", f"from {low} to {high}", guidance, min(max(guidance, low), high))


def _check_text(field: str, text: object, length: tuple[int, int]) -> None:
    low, high = length
    rule = f"text of {low} to {high} characters"
    if not isinstance(text, str):
        raise InvalidRequest(field, rule, text)
    if not low <= len(text) <= high:
        raise InvalidRequest(field, f"{rule}, not {len(text)} characters", text)
    if low and not text.strip():
        raise InvalidRequest(field, f"{rule} that are not all blank", text)
    for index, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise InvalidRequest(field, f"no unpaired surrogate (one stands at character {index})", text)


def _check_integer(field: str, value: object, allowed: Range, rule: str) -> None:
    rule = rule.format(allowed)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(field, f"a whole number, {rule}", value)
    if value not in allowed:
        raise InvalidRequest(field, rule, value, allowed.nearest(value))
