"""A request as the numbers that its seconds depend on."""

from dataclasses import dataclass

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore_contracts.work import AIPROD, WORK


@dataclass(frozen=True)
class Work:
    """Latent tokens, runs of the network over them, and pixels to decode and encode (frames × width × height)."""

    tokens: int
    passes: int
    pixels: int

    @property
    def features(self) -> tuple[float, float, float, float, float]:
        """What the coefficients of a Fit multiply: 1, passes, passes·tokens, passes·tokens², pixels."""
        return (1.0, self.passes, self.passes * self.tokens, self.passes * self.tokens**2, self.pixels)


def work_of(spec: GenerationSpec) -> Work:
    """A model without a rule of its own counts as AIPROD's: its coefficients are its own anyway."""
    rule = WORK.get(spec.model, AIPROD)
    distilled = spec.variant == "distilled"
    blended = 0.0 < spec.flow_guidance.strength < 1.0
    scale = 2 if spec.upscale else 1
    return Work(
        tokens=rule.tokens(spec.width, spec.height, spec.frames),
        passes=rule.passes(spec.steps, spec.guidance, distilled=distilled, blended=blended),
        pixels=scale * spec.width * scale * spec.height * spec.frames,
    )
