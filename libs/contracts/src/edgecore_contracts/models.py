"""The models a caller can name, and the rules their inputs must keep.

They are data, so that the gateway refuses a bad request without loading a model; a contract test keeps them
equal to what each model's own library states.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelRules:
    """Ranges include both ends. Sides are pixels; a valid frame count is frames_step·k + 1."""

    name: str
    backend: str
    side_multiple: int
    side_min: int
    side_max: int
    frames_step: int
    frames_min: int
    frames_max: int
    steps_min: int
    steps_max: int
    guidance_min: float
    guidance_max: float
    prompt_max: int
    default_width: int
    default_height: int
    default_frames: int
    default_fps: float
    default_steps: int
    default_guidance: float


AIPROD_NANO = ModelRules(
    name="aiprod-nano",
    backend="aiprod",
    side_multiple=16,
    side_min=64,
    side_max=128,
    frames_step=4,
    frames_min=5,
    frames_max=33,
    steps_min=1,
    steps_max=50,
    guidance_min=0.0,
    guidance_max=20.0,
    prompt_max=2000,
    default_width=64,
    default_height=64,
    default_frames=17,
    default_fps=8.0,
    default_steps=20,
    default_guidance=4.0,
)

MODELS: dict[str, ModelRules] = {AIPROD_NANO.name: AIPROD_NANO}

AUTO = "auto"
"""The caller leaves the choice to us."""

DEFAULT_MODEL = AIPROD_NANO.name
