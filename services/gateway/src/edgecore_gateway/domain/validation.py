"""The rules of a generate request, all of them, checked at the edge with the model's own numbers.

Every field is checked even when another one is wrong, so that one answer names everything there is to mend.
"""

from collections.abc import Callable, Mapping
from typing import Any

from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_contracts.models import AUTO, DEFAULT_MODEL, ModelRules
from edgecore_gateway.domain import fields
from edgecore_gateway.domain.fields import Refused
from edgecore_gateway.domain.json_body import printable
from edgecore_gateway.domain.spec import JobSpec

FPS_MIN, FPS_MAX = 1.0, 60.0
SEED_MAX = 2**63 - 1
FORMATS = ("mp4", "webm", "prores")
DEFAULT_FORMATS = ("mp4",)
UNKNOWN_SHOWN = 10
"""How many unknown fields one answer names: the rest would only make it long."""

FIELDS = (
    "prompt", "negative_prompt", "model", "width", "height", "frames", "seconds", "fps", "steps", "guidance",
    "seed", "formats", "metadata", "max_cost",
)  # fmt: skip
"""What a request may say."""

UNSUPPORTED = (
    "image", "adapters", "flow_guidance", "audio", "webhook_url", "deadline", "priority",
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
    spec = JobSpec(
        model=model,
        prompt=request.take("prompt", lambda v: fields.text(v, 1, rules.prompt_max), default=""),
        negative_prompt=request.take("negative_prompt", lambda v: fields.text(v, 0, rules.prompt_max), default=""),
        width=request.take("width", lambda v: fields.multiple(v, *sides), default=rules.default_width),
        height=request.take("height", lambda v: fields.multiple(v, *sides), default=rules.default_height),
        frames=_frames(request, rules, fps),
        fps=fps,
        steps=request.take(
            "steps", lambda v: fields.integer(v, rules.steps_min, rules.steps_max), default=rules.default_steps
        ),
        guidance=request.take(
            "guidance",
            lambda v: fields.number(v, rules.guidance_min, rules.guidance_max),
            default=rules.default_guidance,
        ),
        seed=request.take("seed", lambda v: fields.integer(v, 0, SEED_MAX), default=seed),
        formats=request.take("formats", lambda v: fields.choices(v, FORMATS), default=DEFAULT_FORMATS),
        metadata=request.take("metadata", fields.pairs, default={}),
        fallback=request.values.get("model", AUTO) == AUTO,
        max_cost=request.take("max_cost", fields.money, default=None),
    )
    if "prompt" not in request.values:
        request.problems.insert(0, FieldProblem("prompt", "is required"))
    if request.problems:
        raise InvalidInput(request.problems)
    return spec


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
