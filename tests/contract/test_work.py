"""What the predictor takes for a model's work is what the model does."""

import pytest
import torch
from torch import Tensor

from edgecore_aiprod.flow import guided, latent_shape, sample, schedule
from edgecore_contracts.work import WORK


@pytest.mark.parametrize("steps", range(1, 51))
@pytest.mark.parametrize("guidance", [0.0, 1.0, 4.0])
def test_passes_are_the_networks_calls(steps: int, guidance: float) -> None:
    calls = 0

    def network(x_BTHWC: Tensor, t_B: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return x_BTHWC

    generator = torch.Generator().manual_seed(0)
    noise = torch.zeros(1, 1, 1, 1, 1)
    states = sample(guided(network, network, guidance), noise, schedule(steps), generator=generator)
    assert len(list(states)) == steps
    assert WORK["aiprod-nano"].passes(steps, guidance) == calls


@pytest.mark.parametrize("frames", [5, 17, 33])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 96), (80, 112)])
def test_tokens_are_the_latents_cells(width: int, height: int, frames: int) -> None:
    shape = latent_shape(1, frames, height, width, 1)
    assert WORK["aiprod-nano"].tokens(width, height, frames) == shape.frames * shape.height * shape.width
