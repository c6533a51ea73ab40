"""The decoder's second lesson: sharper pictures from the same latents.

The encoder of the finished autoencoder stays as it is, so a backbone trained on its latents stays right, and
this lesson can be run before, beside or after the backbone's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgecore_aiprod.pixels import to_pixels
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.training.backbone import trained
from edgecore_aiprod.training.config import Recipe, TrainConfig
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.training.vae import beside, draw_video, picture_loss, shown_clips
from edgecore_aiprod.vae import Decoder, VideoVae


class DecoderLesson:
    def __init__(self, config: TrainConfig, runs: Path) -> None:
        vae = VideoVae(PRESETS[config.preset].vae)
        vae.load_state_dict(trained(runs / "vae" / "state.pt"))
        self.encoder = vae.encoder.eval().requires_grad_(False)
        self.model: Decoder = vae.decoder

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        """Half of the clips show a square: its corners are what the first lesson leaves round."""
        video_BTHWC = draw_video(dice, recipe, step, shapes=(0.2, 0.5, 0.3))
        with torch.no_grad():
            z = self.encoder(video_BTHWC)
        noise_B = torch.rand(len(z), generator=dice.torch) * recipe.noise
        z = z + noise_B[:, None, None, None, None] * torch.randn(z.shape, generator=dice.torch)
        return picture_loss(self.model(z), video_BTHWC, recipe)

    def samples(self, model: nn.Module) -> list[NDArray[np.uint8]]:
        """Truth beside reconstruction."""
        clips = shown_clips()
        return beside(clips, model(self.encoder(to_pixels(np.stack(clips)))))
