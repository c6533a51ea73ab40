"""The backbone's lesson: rectified flow on encoded clips, told by a frozen text encoder what they show."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from edgecore_aiprod.backbone import Backbone
from edgecore_aiprod.captions import caption
from edgecore_aiprod.flow import add_noise, draw_times, velocity_loss
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.text import TextEncoder
from edgecore_aiprod.training.bank import Bank
from edgecore_aiprod.training.config import TrainConfig
from edgecore_aiprod.training.loop import Dice
from edgecore_aiprod.vae import VideoVae


def trained(state: Path, prefix: str = "") -> dict[str, Tensor]:
    """The averaged weights of a finished run whose names start with `prefix`, without it.

    Raises FileNotFoundError naming the lesson that has to be run first.
    """
    if not state.exists():
        raise FileNotFoundError(f"{state} is missing: train `{state.parent.name}` first")
    weights = torch.load(state, weights_only=True)["ema"]
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


class BackboneLesson:
    def __init__(self, config: TrainConfig, runs: Path) -> None:
        params = PRESETS[config.preset]
        vae = VideoVae(params.vae)
        vae.load_state_dict(trained(runs / "vae" / "state.pt"))
        self.bank = Bank.load_or_build(
            runs / "backbone" / "bank.pt", vae.eval().requires_grad_(False), config.clips, config.seed
        )
        self.text = TextEncoder(params.text)
        self.text.load_state_dict(trained(runs / "text" / "state.pt", "encoder."))
        self.text.eval().requires_grad_(False)
        torch.manual_seed(config.seed)
        self.config = config
        self.model: Backbone = Backbone(params.backbone, params.vae.latent, params.text.out)

    def loss(self, dice: Dice, step: int) -> tuple[Tensor, dict[str, float]]:
        config = self.config
        x0_BTHWC, scenes = self.bank.draw(config.batch, dice.numpy)
        prompts = [
            "" if dice.numpy.random() < config.text_drop else caption(scene, dice.numpy, config.languages)
            for scene in scenes
        ]
        with torch.no_grad():
            text_BLE, mask_BL = self.text.encode(prompts)
        t_B = draw_times(len(prompts), dice.torch, config.shifts)
        noise = torch.randn(x0_BTHWC.shape, generator=dice.torch)
        x0_hat = self.model(add_noise(x0_BTHWC, noise, t_B), t_B, text_BLE, mask_BL)
        loss = velocity_loss(x0_hat, x0_BTHWC, t_B)
        return loss, {"x0": float((x0_hat.detach() - x0_BTHWC).square().mean())}
