"""What a request may ask of a preset, as data, and the check. Imports nothing heavy.

The rules' ranges are what the code accepts; what the checkpoint was trained for is narrower and stands in
`trained`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from edgecore_aiprod.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Of the weights: as trained with guidance, or distilled into few steps.
Variant = Literal["standard", "distilled"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
DISTILLED_STEPS = 4  # the most that the distilled variant takes


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
    image: Range  # sides of a first frame as it is given
    motion: float  # pixels a frame, the length of any vector of a motion
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
    image=Range(16, 4096),
    motion=16.0,
    trained="64×64 pixels, 17 frames; nine colours × circle, square, heart × nine motions",
)

MODEL_RULES: Mapping[str, ModelRules] = MappingProxyType({"nano": NANO_RULES})

_SEED_HIGH = 2**63 - 1


@dataclass(frozen=True)
class GenerationRequest:
    """One clip to make. Not checked when built; the pipeline, or `check_request`, does that.

    `image` is the first frame, uint8 RGB (H, W, 3) of any size: it is scaled to cover the clip's frame, and
    what stands over is cut off at both ends alike. `motion` is in pixels of this request's frame to the right
    and down, from a frame to the next: (2,) the same everywhere and always, or (frames, height, width, 2);
    with `motion_strength` 0 it has no say, with 1 all. The distilled variant takes at most DISTILLED_STEPS
    steps, and its guidance is in its weights: `guidance` is not used. With `upscale` the clip made at
    width × height comes out at twice these sides.
    """

    prompt: str
    negative_prompt: str = ""
    width: int = 64
    height: int = 64
    frames: int = 17
    steps: int = 20
    guidance: float = 4.0
    seed: int = 0
    image: NDArray[np.uint8] | None = dataclasses.field(default=None, repr=False, hash=False)
    motion: NDArray[np.floating[Any]] | None = dataclasses.field(default=None, repr=False, hash=False)
    motion_strength: float = 1.0
    variant: Variant = "standard"
    upscale: bool = False

    def __eq__(self, other: object) -> bool:
        """Equal in every field, arrays in shape and values."""
        if not isinstance(other, GenerationRequest):
            return NotImplemented
        return all(
            _same(getattr(self, one.name), getattr(other, one.name)) for one in dataclasses.fields(self)
        )


def check_request(request: GenerationRequest, rules: ModelRules) -> None:
    """Raises InvalidRequest for the first field that breaks a rule."""
    for field in ("prompt", "negative_prompt"):
        check_text(field, getattr(request, field), getattr(rules, field))
    sides = "a multiple of {0.step} from {0.low} to {0.high}"
    _check_integer("width", request.width, rules.width, sides)
    _check_integer("height", request.height, rules.height, sides)
    _check_integer("frames", request.frames, rules.frames, "4k+1 from {0.low} to {0.high}")
    _check_integer("steps", request.steps, rules.steps, "from {0.low} to {0.high}")
    _check_integer("seed", request.seed, Range(0, _SEED_HIGH), "from {0.low} to {0.high}")
    _check_number("guidance", request.guidance, *rules.guidance)
    if request.image is not None:
        _check_image(request.image, rules.image)
    if request.motion is not None:
        _check_motion(request.motion, (request.frames, request.height, request.width, 2), rules.motion)
    _check_number("motion_strength", request.motion_strength, 0.0, 1.0)
    if request.variant not in VARIANTS:
        raise InvalidRequest("variant", f"one of {', '.join(VARIANTS)}", request.variant, VARIANTS[0])
    if request.variant == "distilled" and request.negative_prompt:
        rule = "empty for the distilled variant, whose guidance is in its weights"
        raise InvalidRequest("negative_prompt", rule, request.negative_prompt, "")
    if not isinstance(request.upscale, bool):
        raise InvalidRequest("upscale", "true or false", request.upscale)


def _same(one: object, other: object) -> bool:
    if hasattr(one, "dtype") or hasattr(other, "dtype"):
        from numpy import array_equal

        return one is other or array_equal(one, other)  # type: ignore[arg-type]
    return one == other


def _check_number(field: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise InvalidRequest(field, f"a number from {low} to {high}", value)
    if not low <= value <= high:
        raise InvalidRequest(field, f"from {low} to {high}", value, min(max(value, low), high))


def _check_image(image: object, sides: Range) -> None:
    import numpy as np

    rule = f"uint8 RGB (height, width, 3) with sides from {sides.low} to {sides.high}"
    if not isinstance(image, np.ndarray):
        raise InvalidRequest("image", rule, type(image).__name__)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InvalidRequest("image", rule, f"{image.dtype} {image.shape}")
    height, width, _ = image.shape
    if height not in sides or width not in sides:
        nearest = (sides.nearest(height), sides.nearest(width), 3)
        raise InvalidRequest("image", rule, f"{image.dtype} {image.shape}", nearest)


def _check_motion(motion: object, field_shape: tuple[int, ...], longest: float) -> None:
    import numpy as np

    rule = f"floating-point numbers (2,) or {field_shape}"
    if not isinstance(motion, np.ndarray):
        raise InvalidRequest("motion", rule, type(motion).__name__)
    if motion.dtype.kind != "f" or motion.shape not in ((2,), field_shape):
        raise InvalidRequest("motion", rule, f"{motion.dtype} {motion.shape}")
    if not np.isfinite(motion).all():
        raise InvalidRequest("motion", "finite numbers", "one that has NaN or infinity")
    length = float(np.linalg.norm(motion.astype(np.float64), axis=-1).max())
    if length > longest:
        nearest = f"the same times {longest / length:.3g}"
        raise InvalidRequest("motion", f"at most {longest} pixels a frame", f"{length:.4g} pixels", nearest)


def check_text(field: str, text: object, length: tuple[int, int]) -> None:
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
