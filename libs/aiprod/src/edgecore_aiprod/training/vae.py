"""The autoencoder's lesson: reconstruct rendered clips of the world through a noisy latent."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.training.config import TrainConfig
from edgecore_aiprod.training.loop import Dice
from edgecore_aiprod.vae import VideoVae, reconstruction_loss
from edgecore_aiprod.world import render, sample_scene


def to_pixels(clips: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> Tensor:
    """uint8 clips → float (B, F, H, W, 3) in [-1, 1]."""
    return torch.from_numpy(np.stack(clips)).float() / 127.5 - 1.0


class VaeLesson:
    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = VideoVae(PRESETS[config.preset].vae)

    def loss(self, dice: Dice, step: int) -> tuple[Tensor, dict[str, float]]:
        frames = self.config.frames[step % len(self.config.frames)]
        clips = [render(sample_scene(dice.numpy))[:frames] for _ in range(self.config.batch)]
        video_BTHWC = to_pixels(clips)
        noise_B = torch.rand(len(clips), generator=dice.torch) * self.config.noise
        made = self.model(video_BTHWC, noise_B, dice.torch)
        sharpness = min(1.0, max(0.0, (step - self.config.warmup * 8) / (self.config.warmup * 8)))
        loss = reconstruction_loss(made, video_BTHWC, sharpness)
        return loss, {"absolute": float((made.detach() - video_BTHWC).abs().mean()), "frames": float(frames)}
