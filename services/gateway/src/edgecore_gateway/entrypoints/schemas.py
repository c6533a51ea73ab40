"""Bodies as OpenAPI shows them. Requests are checked by domain/validation.py; a test keeps the two equal."""

from typing import Any

from pydantic import BaseModel, Field

from edgecore_contracts.models import AUTO, MODELS, ModelRules
from edgecore_contracts.states import JobState
from edgecore_gateway.domain.fields import METADATA_CHARACTERS, METADATA_PAIRS, MONEY_MOST
from edgecore_gateway.domain.input_fields import SCALE_MOST
from edgecore_gateway.domain.picture import BYTES_MOST
from edgecore_gateway.domain.spec import STANDARD
from edgecore_gateway.domain.validation import DEFAULT_FORMATS, FORMATS, FPS_MAX, FPS_MIN, SEED_MAX


class AttemptView(BaseModel):
    attempt: int
    node: str
    outcome: str | None = Field(description="SUCCEEDED, FAILED, CANCELLED or LOST; null while it runs")
    reason: str | None
    started_at: str | None
    finished_at: str | None
    measured_seconds: float | None


class ErrorView(BaseModel):
    code: str
    message: str


class RenditionView(BaseModel):
    format: str
    url: str
    size_bytes: int
    media_type: str


class JobStatus(BaseModel):
    """Everything about a job that its owner may want to know."""

    id: str
    state: JobState
    version: int = Field(description="grows by one with every transition")
    progress: float = Field(ge=0, le=1)
    stage: str | None = Field(description="loading, sampling, decoding, encoding or uploading, while known")
    step: int
    steps: int
    queue_position: int | None = Field(description="1 is next")
    eta_seconds: float | None
    attempts: list[AttemptView]
    error: ErrorView | None
    video_url: str | None
    cost_estimated: str | None = Field(description="USD, 6 decimals; null while nobody has estimated it")
    cost_actual: str | None = Field(description="USD, what is billed so far; null while there is nothing")
    renditions: list[RenditionView] = Field(description="every format of the video, in the order asked for")
    thumbnail_url: str | None
    status_url: str
    spec: dict[str, Any] = Field(description="what will be, or was, generated: every default filled in")
    metadata: dict[str, str]
    created_at: str
    updated_at: str
    finished_at: str | None


class JobPage(BaseModel):
    data: list[JobStatus]
    has_more: bool
    next: str | None = Field(description="give it as `after` for the next page")


class Transition(BaseModel):
    version: int
    from_: JobState = Field(alias="from")
    to: JobState
    reason: str
    detail: str
    attempt: int
    node: str | None
    occurred_at: str


class TransitionList(BaseModel):
    data: list[Transition]


class FieldProblemView(BaseModel):
    field: str
    rule: str
    nearest: Any = Field(default=None, description="the nearest value that would be accepted")


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="stable; what a program should look at")
    errors: list[FieldProblemView] | None = None


_MEANINGS = {
    400: "The body is not JSON",
    401: "No valid API key or access token",
    402: "Your budget, or max_cost, does not cover it",
    403: "The key's scopes, or the user's role, do not allow it",
    404: "You have no such thing",
    409: "The state does not allow it",
    413: "The body is too large",
    415: "The body is of another type",
    422: "A value breaks a rule; `errors` says which and what would be accepted",
    429: "Over the rate; Retry-After says when to try again",
    503: "The database is away; Retry-After says when to try again",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": meaning,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, meaning in _MEANINGS.items()
}


def request_schema(rules: ModelRules) -> dict[str, Any]:
    """The JSON Schema of a generate request by one model's rules."""
    side = {
        "type": "integer",
        "minimum": rules.side_min,
        "maximum": rules.side_max,
        "multipleOf": rules.side_multiple,
    }
    counts = range(rules.frames_min, rules.frames_max + 1, rules.frames_step)
    properties: dict[str, dict[str, Any]] = {
        "prompt": {"type": "string", "minLength": 1, "maxLength": rules.prompt_max},
        "negative_prompt": {"type": "string", "maxLength": rules.prompt_max, "default": ""},
        "model": {"type": "string", "enum": [AUTO, *MODELS], "default": AUTO},
        "width": side | {"default": rules.default_width, "description": "pixels"},
        "height": side | {"default": rules.default_height, "description": "pixels"},
        "frames": {"type": "integer", "enum": list(counts), "default": rules.default_frames},
        "seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": "instead of frames; the nearest count",
        },
        "fps": {"type": "number", "minimum": FPS_MIN, "maximum": FPS_MAX, "default": rules.default_fps},
        "steps": {
            "type": "integer",
            "minimum": rules.steps_min,
            "maximum": rules.steps_max,
            "default": rules.default_steps,
        },
        "guidance": {
            "type": "number",
            "minimum": rules.guidance_min,
            "maximum": rules.guidance_max,
            "default": rules.default_guidance,
        },
        "seed": {"type": "integer", "minimum": 0, "maximum": SEED_MAX, "description": "random when not given"},
        "formats": {
            "type": "array",
            "items": {"type": "string", "enum": list(FORMATS)},
            "minItems": 1,
            "uniqueItems": True,
            "default": list(DEFAULT_FORMATS),
            "description": "files to make, the first one is the job's video",
        },
        "max_cost": {
            "type": ["string", "number"],
            "description": f"USD, at most 6 decimals, 0 to {MONEY_MOST}; dearer jobs are refused with 402",
        },
        "variant": {
            "type": "string",
            "enum": list(rules.variants),
            "default": STANDARD,
            "description": f"distilled: at most {rules.distilled_steps} steps, no guidance, no negative_prompt",
        },
        "upscale": {
            "type": "boolean",
            "default": False,
            "description": "a second stage makes the video at twice width and height",
        },
        "image": {
            "type": "string",
            "pattern": "^(upl_|data:image/(png|jpeg|webp);base64,)",
            "description": "the first frame: the id of an upload, or a data URL of a PNG, JPEG or WebP picture, "
            f"sides {rules.image_side_min} to {rules.image_side_max}, at most {BYTES_MOST // 1024**2} MiB",
        },
        "flow_guidance": _flow_schema(rules),
        "adapters": _adapters_schema(rules),
        "metadata": {
            "type": "object",
            "description": "your own notes, given back with the job",
            "maxProperties": METADATA_PAIRS,
            "propertyNames": {"maxLength": METADATA_CHARACTERS},
            "additionalProperties": {"type": "string", "maxLength": METADATA_CHARACTERS},
        },
    }
    return {
        "type": "object",
        "title": "GenerateRequest",
        "required": ["prompt"],
        "additionalProperties": False,
        "not": {"required": ["frames", "seconds"]},
        "properties": properties,
        "examples": [{"prompt": "a red circle moving right"}],
    }


def _flow_schema(rules: ModelRules) -> dict[str, Any]:
    return {
        "type": "object",
        "description": "a motion, the same everywhere and always, that steers the video",
        "required": ["motion"],
        "additionalProperties": False,
        "properties": {
            "motion": {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 2,
                "maxItems": 2,
                "description": "pixels to the right and down from a frame to the next, "
                f"at most {rules.motion_max:g} long",
            },
            "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 1},
        },
    }


def _adapters_schema(rules: ModelRules) -> dict[str, Any]:
    return {
        "type": "array",
        "description": "LoRA adapters of yours that are applied together, none twice",
        "maxItems": rules.adapters_max,
        "default": [],
        "items": {
            "type": "object",
            "required": ["id"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": "string", "pattern": "^lora_"},
                "scale": {"type": "number", "minimum": -SCALE_MOST, "maximum": SCALE_MOST, "default": 1},
            },
        },
    }
