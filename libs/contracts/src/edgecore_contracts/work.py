"""How much a request makes a model work, as data: what predicts its seconds without loading it.

The formulas are those of libs/aiprod (flow.latent_shape, flow.schedule, flow.sample, flow.guided, flow.blended and
the pipeline's variants and stages); a contract test counts the model's own calls and keeps the two equal.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkRule:
    """A latent cell covers `spatial`² pixels and `temporal` frames. Times are moved by `shift`; a step whose time
    is before 1 runs the network twice where there is a corrector; guidance doubles calls down to `guided_above`.

    The distilled variant takes at most `distilled_steps`, without guidance.
    """

    spatial: int
    temporal: int
    shift: float
    guided_above: float
    corrector: bool
    distilled_steps: int

    def tokens(self, width: int, height: int, frames: int) -> int:
        """Latent cells of a clip of `frames` frames of width × height pixels."""
        return ((frames - 1) // self.temporal + 1) * (height // self.spatial) * (width // self.spatial)

    def passes(self, steps: int, guidance: float, *, distilled: bool = False, blended: bool = False) -> int:
        """Runs of the network over all steps, guidance's and the corrector's included. A second stage adds none.

        `blended`: a motion counts in part, so what is asked is run with it and without.
        """
        if distilled:
            steps, guidance = min(steps, self.distilled_steps), 1.0
        times = [self._time(1.0 - index / steps) for index in range(steps)]
        moves = [2 if self.corrector and time < 1.0 else 1 for time in times]
        return sum(count * self._calls(time, guidance, blended) for count, time in zip(moves, times, strict=True))

    def _time(self, linear: float) -> float:
        return self.shift * linear / (1.0 + (self.shift - 1.0) * linear)

    def _calls(self, time: float, guidance: float, blended: bool) -> int:
        """Runs for one clean estimate."""
        guided = guidance != 1.0 and time >= self.guided_above
        return (2 if blended else 1) + (1 if guided else 0)


AIPROD = WorkRule(
    spatial=16,
    temporal=4,
    shift=12.0,
    guided_above=0.9,
    corrector=True,
    distilled_steps=4,
)

WORK: dict[str, WorkRule] = {"aiprod-nano": AIPROD}
"""By the model's name."""
