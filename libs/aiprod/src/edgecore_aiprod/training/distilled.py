"""The distilled variant's lesson: an adapter that takes over guidance, so that one pass does what took two.

The teacher is the finished backbone under guidance. The student, the same weights with the adapter, learns
the teacher's clean estimate from the asked text alone (Meng et al. 2023, their first stage).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from edgecore_aiprod.flow import GUIDED_ABOVE, add_noise, draw_times, velocity_loss
from edgecore_aiprod.lora import BACKBONE_LAYERS, attach, new_adapter
from edgecore_aiprod.model import build_model
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.training.backbone import draw_condition, trained
from edgecore_aiprod.training.bank import Bank
from edgecore_aiprod.training.config import Recipe, TrainConfig
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.training.lora import AdapterWeights

_GUIDANCE = 2.5  # of the teacher: in few steps 4, the default of many, spoils the colour
_WORLD = (17, 64)  # frames and side of the clips


class DistilledLesson:
    def __init__(self, config: TrainConfig, runs: Path) -> None:
        """Raises FileNotFoundError naming the lesson that has to be run first."""
        base = build_model(PRESETS[config.preset])
        base.vae.load_state_dict(trained(runs / "vae" / "state.pt"))
        base.text.load_state_dict(trained(runs / "text" / "state.pt", "encoder."))
        base.backbone.load_state_dict(trained(runs / "backbone" / "state.pt"))
        self.text, self.student, self.teacher = base.text, base.backbone, copy.deepcopy(base.backbone)
        self.bank = Bank.load_or_build(runs / "bank", base.vae, config.clips, config.seed, *_WORLD)
        torch.manual_seed(config.seed)
        adapter = new_adapter(base, config.rank, config.alpha, layers=BACKBONE_LAYERS)
        self.model: AdapterWeights = AdapterWeights(adapter)
        attach(base, replace(adapter, weights=self.model.pairs()))

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        """The velocity's squared error against the teacher's; `x0` is the clean estimate's."""
        x0_BTHWC, scenes = self.bank.draw(recipe.batch, dice.numpy, recipe.plain)
        told = [draw_condition(scene, self.bank, dice.numpy, recipe) for scene in scenes]
        prompts, hints = zip(*told, strict=True)
        hints_BTHW4 = torch.stack(hints)
        t_B = draw_times(recipe.batch, dice.torch, recipe.shifts)
        noisy = add_noise(x0_BTHWC, torch.randn(x0_BTHWC.shape, generator=dice.torch), t_B)
        x_BTHWC = torch.where(hints_BTHW4[..., 3:] > 0.0, x0_BTHWC, noisy)
        with torch.no_grad():
            text_BRE = self.text.encode(prompts)
            wanted_BTHWC = self._guided(x_BTHWC, t_B, text_BRE, hints_BTHW4)
        made_BTHWC = self.student(x_BTHWC, t_B, text_BRE, hints_BTHW4)
        loss = velocity_loss(made_BTHWC, wanted_BTHWC, t_B)
        return loss, {"x0": float((made_BTHWC.detach() - wanted_BTHWC).square().mean())}

    def _guided(self, x_BTHWC: Tensor, t_B: Tensor, text_BRE: Tensor, hints_BTHW4: Tensor) -> Tensor:
        """The teacher's clean estimate, guided as in `flow.guided`: away from no words and no motion."""
        asked = self.teacher(x_BTHWC, t_B, text_BRE, hints_BTHW4)
        still = hints_BTHW4 * torch.tensor([0.0, 0.0, 0.0, 1.0])
        avoided = self.teacher(x_BTHWC, t_B, self.text.encode([""]).expand_as(text_BRE), still)
        works_B = (t_B >= GUIDED_ABOVE)[:, None, None, None, None]
        guided: Tensor = torch.where(works_B, avoided + _GUIDANCE * (asked - avoided), asked)
        return guided
