"""The rules of a generate request, all of them, checked at the edge with the model's own numbers.

Every field is checked even when another one is wrong, so that one answer names everything there is to mend.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_contracts.models import AUTO, DEFAULT_MODEL, ModelRules
from edgecore_gateway.domain import fields, input_fields
from edgecore_gateway.domain.fields import Refused
from edgecore_gateway.domain.json_body import printable
from edgecore_gateway.domain.picture import Picture
from edgecore_gateway.domain.spec import DISTILLED, STANDARD, JobSpec

FPS_MIN, FPS_MAX = 1.0, 60.0
SEED_MAX = 2**63 - 1
FORMATS = ("mp4", "webm", "prores")
DEFAULT_FORMATS = ("mp4",)
NO_GUIDANCE = 1.0
"""The scale at which the prompt alone decides."""
UNKNOWN_SHOWN = 10
"""How many unknown fields one answer names: the rest would only make it long."""

FIELDS = (
    "prompt", "negative_prompt", "model", "width", "height", "frames", "seconds", "fps", "steps", "guidance",
    "seed", "formats", "metadata", "max_cost", "variant", "upscale", "image", "flow_guidance", "adapters",
)  # fmt: skip
"""What a request may say."""

UNSUPPORTED = (
    "audio", "webhook_url", "deadline", "priority",
)  # fmt: skip
"""What the contract knows and no model here can do yet."""


def validate(body: Any, models: Mapping[str, ModelRules], seed: int) -> JobSpec:
    """The job that `body` (a parsed JSON value) asks for; `seed` is used when it names none.

    A field that is null counts as not sent. Raises InvalidInput with every problem found.
    """
    if not isinstance(body, dict):
        raise InvalidInput([FieldProblem("body", "must be a JSON object")])
    request = _Request({name: value for name, value in body.items() if value is not None})
    request.refuse_unknown()
    model = request.take("model", _model(models), default=DEFAULT_MODEL)
    rules = models.get(model, models[DEFAULT_MODEL])
    sides = (rules.side_multiple, rules.side_min, rules.side_max)
    fps = request.take("fps", lambda v: fields.number(v, FPS_MIN, FPS_MAX), default=rules.default_fps)
    variant = request.take("variant", lambda v: fields.choice(v, rules.variants), default=STANDARD)
    image = request.take(
        "image", lambda v: input_fields.image(v, rules.image_side_min, rules.image_side_max), None
    )
    spec = JobSpec(
        model=model,
        prompt=request.take("prompt", lambda v: fields.text(v, 1, rules.prompt_max), default=""),
        negative_prompt=_negative_prompt(request, rules, variant),
        width=request.take("width", lambda v: fields.multiple(v, *sides), default=rules.default_width),
        height=request.take("height", lambda v: fields.multiple(v, *sides), default=rules.default_height),
        frames=_frames(request, rules, fps),
        fps=fps,
        steps=_steps(request, rules, variant),
        guidance=_guidance(request, rules, variant),
        seed=request.take("seed", lambda v: fields.integer(v, 0, SEED_MAX), default=seed),
        formats=request.take("formats", lambda v: fields.choices(v, FORMATS), default=DEFAULT_FORMATS),
        metadata=request.take("metadata", fields.pairs, default={}),
        variant=variant,
        upscale=request.take("upscale", lambda v: _upscale(v, rules), default=False),
        image=image if isinstance(image, str) else None,
        picture=image if isinstance(image, Picture) else None,
        flow_guidance=request.take(
            "flow_guidance", lambda v: input_fields.flow_guidance(v, rules.motion_max), default=None
        ),
        adapters=request.take("adapters", lambda v: input_fields.adapters(v, rules.adapters_max), default=()),
        fallback=request.values.get("model", AUTO) == AUTO,
        max_cost=request.take("max_cost", fields.money, default=None),
    )
    if "prompt" not in request.values:
        request.problems.insert(0, FieldProblem("prompt", "is required"))
    if request.problems:
        raise InvalidInput(request.problems)
    return replace(spec, fallback=spec.fallback and not spec.is_ours_alone)


class _Request:
    """The fields that were sent, and what was found wrong with them so far."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.problems: list[FieldProblem] = []

    def take(self, name: str, check: Callable[[Any], Any], default: Any) -> Any:
        """The checked value; the default when it was not sent, and also when it is wrong, to check the rest."""
        if name not in self.values:
            return default
        try:
            return check(self.values[name])
        except Refused as refused:
            self.problems.append(FieldProblem(name, refused.rule, refused.nearest))
            return refused.nearest if isinstance(refused.nearest, type(default)) else default

    def refuse_unknown(self) -> None:
        known = (*FIELDS, *UNSUPPORTED)
        unknown = [name for name in self.values if name not in known]
        self.problems += [
            FieldProblem(printable(name), "is not a field of this request", fields.closest(name, FIELDS))
            for name in unknown[:UNKNOWN_SHOWN]
        ]
        if len(unknown) > UNKNOWN_SHOWN:
            self.problems.append(FieldProblem("body", f"has {len(unknown) - UNKNOWN_SHOWN} more unknown fields"))
        self.problems += [
            FieldProblem(name, f"not supported by {DEFAULT_MODEL} yet")
            for name in UNSUPPORTED
            if name in self.values
        ]


def _model(models: Mapping[str, ModelRules]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        named = fields.choice(value, (AUTO, *models))
        return DEFAULT_MODEL if named == AUTO else named

    return check


def _frames(request: _Request, rules: ModelRules, fps: float) -> int:
    counts = (rules.frames_step, rules.frames_min, rules.frames_max)
    if "seconds" in request.values and "frames" not in request.values:
        asked = request.take("seconds", lambda v: fields.frames_of_seconds(v, fps, *counts), rules.default_frames)
    else:
        asked = request.take("frames", lambda v: fields.frame_count(v, *counts), rules.default_frames)
        if "seconds" in request.values:
            request.problems.append(FieldProblem("seconds", "give frames or seconds, not both"))
    return int(asked)


def _negative_prompt(request: _Request, rules: ModelRules, variant: str) -> str:
    def check(value: Any) -> str:
        text = fields.text(value, 0, rules.prompt_max)
        if text and variant == DISTILLED:
            raise Refused("must be empty: guidance is in the weights of the distilled variant", "")
        return text

    return str(request.take("negative_prompt", check, default=""))


def _steps(request: _Request, rules: ModelRules, variant: str) -> int:
    most = rules.distilled_steps if variant == DISTILLED else rules.steps_max
    default = rules.distilled_steps if variant == DISTILLED else rules.default_steps
    return int(request.take("steps", lambda v: fields.integer(v, rules.steps_min, most), default))


def _guidance(request: _Request, rules: ModelRules, variant: str) -> float:
    def check(value: Any) -> float:
        if variant == DISTILLED:
            raise Refused("must be left out: it is in the weights of the distilled variant")
        return fields.number(value, rules.guidance_min, rules.guidance_max)

    default = NO_GUIDANCE if variant == DISTILLED else rules.default_guidance
    return float(request.take("guidance", check, default))


def _upscale(value: Any, rules: ModelRules) -> bool:
    if fields.boolean(value) and not rules.upscale:
        raise Refused(f"must be false: {rules.name} has no second stage", False)
    return bool(value)
