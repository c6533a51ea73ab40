"""The decoder's second lesson: sharper pictures from the same latents.

The encoder of the finished autoencoder stays as it is, so a backbone trained on its latents stays right, and
this lesson can be run before, beside or after the backbone's.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.training.backbone import trained
from edgecore_aiprod.training.config import TrainConfig
from edgecore_aiprod.training.loop import Dice
from edgecore_aiprod.training.vae import to_pixels
from edgecore_aiprod.vae import Decoder, VideoVae, reconstruction_loss
from edgecore_aiprod.world import SHAPES, render, sample_scene


class DecoderLesson:
    def __init__(self, config: TrainConfig, runs: Path) -> None:
        self.config = config
        vae = VideoVae(PRESETS[config.preset].vae)
        vae.load_state_dict(trained(runs / "vae" / "state.pt"))
        self.encoder = vae.encoder.eval().requires_grad_(False)
        self.model: Decoder = vae.decoder

    def loss(self, dice: Dice, step: int) -> tuple[Tensor, dict[str, float]]:
        """Half of the clips show a square: its corners are what the first lesson leaves round."""
        frames = self.config.frames[step % len(self.config.frames)]
        shapes = dice.numpy.choice(SHAPES, size=self.config.batch, p=(0.2, 0.5, 0.3))
        clips = [render(sample_scene(dice.numpy, shape=str(shape)))[:frames] for shape in shapes]
        video_BTHWC = to_pixels(clips)
        with torch.no_grad():
            z = self.encoder(video_BTHWC)
        noise_B = torch.rand(len(clips), generator=dice.torch) * self.config.noise
        z = z + noise_B[:, None, None, None, None] * torch.randn(z.shape, generator=dice.torch)
        made = self.model(z)
        figures = {"absolute": float((made.detach() - video_BTHWC).abs().mean()), "frames": float(frames)}
        return reconstruction_loss(made, video_BTHWC, self.config.sharpness), figures
