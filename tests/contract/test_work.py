"""What the predictor takes for a model's work is what the model does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_aiprod.flow import guided, latent_shape, sample, schedule
from edgecore_aiprod.lora import new_adapter
from edgecore_aiprod.model import build_model
from edgecore_aiprod.presets import PRESETS
from edgecore_contracts.work import WORK

RULE = WORK["aiprod-nano"]
PUSHED = np.array([1.0, 0.0])
ASKED = GenerationRequest("a red circle", width=80, frames=5, steps=3)


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
    assert RULE.passes(steps, guidance) == calls


class Counted:
    """A nano model whose backbone does nothing but note how many tokens it was given, call by call."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        model = build_model(PRESETS["nano"])
        self.pipeline = AiprodPipeline(replace(model, distilled=new_adapter(model, 1, 1.0, "distilled")))
        model.backbone.forward = self._forward

    def _forward(self, x_BTHWC: Tensor, t_B: Tensor, *rest: object) -> Tensor:
        self.tokens.append(x_BTHWC.shape[1:4].numel())
        return x_BTHWC

    def calls(self, request: GenerationRequest) -> list[int]:
        self.tokens.clear()
        self.pipeline(request)
        return self.tokens


@pytest.fixture(scope="module")
def counted() -> Counted:
    return Counted()


@pytest.mark.parametrize("upscale", [False, True])
@pytest.mark.parametrize("variant", ["standard", "distilled"])
@pytest.mark.parametrize("strength", [None, 0.0, 0.4, 1.0])
@pytest.mark.parametrize(("steps", "guidance"), [(3, 4.0), (2, 1.0), (9, 2.0)])
def test_every_way_to_ask_is_counted_as_the_model_does(
    counted: Counted, upscale: bool, variant: Any, strength: float | None, steps: int, guidance: float
) -> None:
    motion = {} if strength is None else {"motion": PUSHED, "motion_strength": strength}
    asked = {"upscale": upscale, "variant": variant, "steps": steps, "guidance": guidance}
    calls = counted.calls(replace(ASKED, **asked, **motion))
    passes = RULE.passes(steps, guidance, distilled=variant == "distilled", blended=strength == 0.4)
    assert calls == [RULE.tokens(80, 64, 5)] * passes


def test_a_first_frame_takes_no_more_passes(counted: Counted) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    assert counted.calls(replace(ASKED, image=picture)) == [RULE.tokens(80, 64, 5)] * RULE.passes(3, 4.0)


@pytest.mark.parametrize("frames", [5, 17, 33])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 96), (80, 112)])
def test_tokens_are_the_latents_cells(width: int, height: int, frames: int) -> None:
    shape = latent_shape(1, frames, height, width, 1)
    assert RULE.tokens(width, height, frames) == shape.frames * shape.height * shape.width
    assert RULE.tokens(2 * width, 2 * height, frames) == 4 * RULE.tokens(width, height, frames)
