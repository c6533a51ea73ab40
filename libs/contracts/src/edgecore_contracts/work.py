"""How much a request makes a model work, as data: what predicts its seconds without loading it.

The formulas are those of libs/aiprod (flow.latent_shape, flow.schedule, flow.sample, flow.guided); a contract
test counts the model's own calls and keeps the two equal.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkRule:
    """A latent cell covers `spatial`² pixels and `temporal` frames. Times are moved by `shift`; a step whose time
    is before 1 runs the network twice when there is a corrector; guidance doubles calls down to `guided_above`.
    """

    spatial: int
    temporal: int
    shift: float
    guided_above: float
    corrector: bool

    def tokens(self, width: int, height: int, frames: int) -> int:
        """Latent cells of a clip of `frames` frames of width × height pixels."""
        return ((frames - 1) // self.temporal + 1) * (height // self.spatial) * (width // self.spatial)

    def passes(self, steps: int, guidance: float) -> int:
        """Runs of the network over all steps, guidance passes and corrector included."""
        return sum(self._runs(1.0 - index / steps, guidance) for index in range(steps))

    def _runs(self, linear: float, guidance: float) -> int:
        time = self.shift * linear / (1.0 + (self.shift - 1.0) * linear)
        calls = 2 if self.corrector and linear < 1.0 else 1
        return calls * (2 if guidance != 1.0 and time >= self.guided_above else 1)


AIPROD = WorkRule(spatial=16, temporal=4, shift=12.0, guided_above=0.9, corrector=True)

WORK: dict[str, WorkRule] = {"aiprod-nano": AIPROD}
"""By the model's name."""
