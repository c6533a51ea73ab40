"""The models a caller can name, and the rules their inputs must keep.

They are data, so that the gateway refuses a bad request without loading a model; a contract test keeps them
equal to what each model's own library states.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelRules:
    """Ranges include both ends. Sides are pixels; a valid frame count is frames_step·k + 1.

    `image_side_*` are of a first frame as it is given; `motion_max` is pixels a frame; `distilled_steps` is the
    most that the variant `distilled` takes; `upscale` says whether there is a second stage, which doubles sides.
    """

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
    image_side_min: int
    image_side_max: int
    motion_max: float
    variants: tuple[str, ...]
    distilled_steps: int
    upscale: bool
    adapters_max: int
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
    image_side_min=16,
    image_side_max=4096,
    motion_max=16.0,
    variants=("standard", "distilled"),
    distilled_steps=4,
    upscale=True,
    adapters_max=4,
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
