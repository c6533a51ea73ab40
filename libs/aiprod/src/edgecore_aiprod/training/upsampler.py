"""The upsampler's lesson: the latent of a scene at 64 pixels a side becomes that of the same scene at 128.

The autoencoder is frozen. What a sampler makes is not quite a latent of its encoder, so the input gets noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgecore_aiprod.pixels import to_pixels
from edgecore_aiprod.presets import PRESETS, TEMPORAL
from edgecore_aiprod.training.backbone import trained
from edgecore_aiprod.training.bank import Bank
from edgecore_aiprod.training.config import Recipe, TrainConfig
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.training.vae import picture_loss
from edgecore_aiprod.upsampler import LatentUpsampler
from edgecore_aiprod.vae import VideoVae
from edgecore_aiprod.world import Scene, render

_FRAMES, _SIDE = 17, 64  # of the smaller clip of a pair
_SHOWN, _OPENING = 2, 2  # clips of a batch that are decoded as well, and how many of their latent frames
_PICTURE = 2.0  # weight of the decoded clips' loss


class UpsamplerLesson:
    def __init__(self, config: TrainConfig, runs: Path) -> None:
        """Pair i of the two banks shows scene (seed, i). Raises ValueError on a preset without upsampler."""
        preset = PRESETS[config.preset]
        if preset.upsampler is None:
            raise ValueError(f"preset: one with an upsampler, not {config.preset!r}")
        self.vae = VideoVae(preset.vae)
        self.vae.load_state_dict(trained(runs / "vae" / "state.pt"))
        self.vae.eval().requires_grad_(False)
        self.small, self.large = (
            Bank.load_or_build(runs / "bank", self.vae, config.clips, config.seed, _FRAMES, side)
            for side in (_SIDE, 2 * _SIDE)
        )
        torch.manual_seed(config.seed)
        self.model = LatentUpsampler(preset.upsampler, preset.vae.latent)

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the latent and, of the first clips' opening, what the picture is judged by."""
        chosen = torch.from_numpy(dice.numpy.integers(len(self.small.scenes), size=recipe.batch))
        device = torch.get_default_device()
        small_BTHWC, large_BTHWC = (
            bank.latents_NTHWC[chosen].float().to(device) for bank in (self.small, self.large)
        )
        noise_B = torch.rand(len(chosen), generator=dice.torch) * recipe.noise
        noise_BTHWC = torch.randn(small_BTHWC.shape, generator=dice.torch)
        made_BTHWC = self.model(small_BTHWC + noise_B[:, None, None, None, None] * noise_BTHWC)
        latent = (made_BTHWC - large_BTHWC).square().mean()
        truth = _opening([self.small.scenes[index] for index in chosen[:_SHOWN].tolist()])
        picture, figures = picture_loss(self.vae.decode(made_BTHWC[:_SHOWN, :_OPENING]), truth, recipe)
        return latent + _PICTURE * picture, {"latent": float(latent.detach())} | figures


def _opening(scenes: list[Scene]) -> Tensor:
    """(B, F, H, W, 3): what the first _OPENING latent frames of the larger clips show."""
    frames, side = TEMPORAL * (_OPENING - 1) + 1, 2 * _SIDE
    return to_pixels(np.stack([render(scene, _FRAMES, side, side)[:frames] for scene in scenes]))
