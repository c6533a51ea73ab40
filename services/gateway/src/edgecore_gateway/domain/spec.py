"""What a caller asked for, after validation."""

from dataclasses import dataclass
from typing import Any

from edgecore.common.v1 import common_pb2
from edgecore_contracts.money import text
from edgecore_gateway.domain.picture import Picture

STANDARD, DISTILLED = "standard", "distilled"


@dataclass(frozen=True)
class FlowGuidance:
    """A motion in pixels a frame of width × height; `strength` is 0 to 1."""

    right: float
    down: float
    strength: float


@dataclass(frozen=True)
class AdapterUse:
    """An adapter of the caller's and how much it counts, -4 to 4; key and SHA-256 are of its file, once found."""

    id: str
    scale: float
    key: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class JobSpec:
    """Valid by the named model's rules. Sides are pixels, fps is frames per second, seed is 0 to 2^63-1."""

    model: str
    prompt: str
    negative_prompt: str
    width: int
    height: int
    frames: int
    fps: float
    steps: int
    guidance: float
    seed: int
    formats: tuple[str, ...]
    metadata: dict[str, str]
    variant: str = STANDARD
    # The video has twice the sides.
    upscale: bool = False
    # The id of an upload, and the key of its file once it is found.
    image: str | None = None
    image_key: str = ""
    # Sent along instead of an id, and not stored yet.
    picture: Picture | None = None
    flow_guidance: FlowGuidance | None = None
    adapters: tuple[AdapterUse, ...] = ()
    # The choice of the model was left to us, so that a paid provider may be the last resort.
    fallback: bool = True
    # The most the caller wants to pay, in micros; None: the budget decides.
    max_cost: int | None = None

    @property
    def is_ours_alone(self) -> bool:
        """Whether it asks for something that no paid provider does."""
        own = (self.variant != STANDARD, self.upscale, self.image, self.picture, self.flow_guidance, self.adapters)
        return any(own)

    @property
    def inputs(self) -> list[str]:
        """The ids of the upload and the adapters that it needs."""
        return [*([self.image] if self.image else []), *(one.id for one in self.adapters)]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the metadata, which is the caller's own, as JSON values."""
        flow = self.flow_guidance
        return {
            "model": self.model,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "fps": self.fps,
            "steps": self.steps,
            "guidance": self.guidance,
            "seed": self.seed,
            "formats": list(self.formats),
            "variant": self.variant,
            "upscale": self.upscale,
            "image": self.image,
            "flow_guidance": {"motion": [flow.right, flow.down], "strength": flow.strength} if flow else None,
            "adapters": [{"id": one.id, "scale": one.scale} for one in self.adapters],
            "max_cost": None if self.max_cost is None else text(self.max_cost),
        }

    def to_proto(self) -> common_pb2.GenerationSpec:
        flow = self.flow_guidance
        return common_pb2.GenerationSpec(
            model=self.model,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            width=self.width,
            height=self.height,
            frames=self.frames,
            fps=self.fps,
            steps=self.steps,
            guidance=self.guidance,
            seed=self.seed,
            formats=self.formats,
            variant=self.variant,
            upscale=self.upscale,
            image=self.image_key,
            flow_guidance=common_pb2.FlowGuidance(**vars(flow)) if flow else None,
            adapters=[common_pb2.AdapterUse(**vars(one)) for one in self.adapters],
        )
