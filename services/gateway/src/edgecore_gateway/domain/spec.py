"""What a caller asked for, after validation."""

from dataclasses import dataclass
from typing import Any

from edgecore.common.v1 import common_pb2
from edgecore_contracts.money import text


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
    # The choice of the model was left to us, so that a paid provider may be the last resort.
    fallback: bool = True
    # The most the caller wants to pay, in micros; None: the budget decides.
    max_cost: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything but the metadata, which is the caller's own, as JSON values."""
        limit = None if self.max_cost is None else text(self.max_cost)
        values = vars(self) | {"formats": list(self.formats), "max_cost": limit}
        del values["metadata"], values["fallback"]
        return values

    def to_proto(self) -> common_pb2.GenerationSpec:
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
        )
