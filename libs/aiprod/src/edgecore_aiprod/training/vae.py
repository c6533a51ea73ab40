"""The autoencoder's lesson: reconstruct rendered clips of the world through a noisy latent."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgecore_aiprod.pixels import to_frames, to_pixels
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.similarity import ssim
from edgecore_aiprod.training.config import Recipe, TrainConfig
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.vae import VideoVae, reconstruction_loss
from edgecore_aiprod.world import SHAPES, render, sample_scene

_SHOWN = 900_100_000  # seeds of the scenes in contact sheets, far from any run's (seed, step)


def shown_clips(count: int = 6) -> list[NDArray[np.uint8]]:
    """Rendered clips (17, 64, 64, 3), always the same."""
    return [render(sample_scene(np.random.default_rng(_SHOWN + index))) for index in range(count)]


def beside(true: list[NDArray[np.uint8]], made_BTHWC: Tensor) -> list[NDArray[np.uint8]]:
    """Each true clip with its reconstruction to the right."""
    return [np.concatenate(pair, axis=2) for pair in zip(true, to_frames(made_BTHWC), strict=True)]


def draw_video(
    dice: Dice, recipe: Recipe, step: int, shapes: tuple[float, float, float] | None = None
) -> Tensor:
    """A batch of rendered clips at the size whose turn it is; `shapes` are the shares of circle, square and
    heart.
    """
    side = recipe.sides[step % len(recipe.sides)]
    frames = recipe.frames[step % len(recipe.frames)]
    clips = []
    for _ in range(max(1, round(recipe.batch * 64**2 / side**2))):
        shape = None if shapes is None else str(dice.numpy.choice(SHAPES, p=shapes))
        scene = sample_scene(dice.numpy, shape=shape, plain=dice.numpy.random() < recipe.plain)
        clips.append(render(scene, 17, side, side)[:frames])
    return to_pixels(np.stack(clips))


def picture_loss(made_BTHWC: Tensor, true_BTHWC: Tensor, recipe: Recipe) -> tuple[Tensor, dict[str, float]]:
    """Squared and absolute errors and, where the recipe weighs it, 1 - SSIM; and the figures for the log."""
    loss = reconstruction_loss(made_BTHWC, true_BTHWC, recipe.sharpness)
    figures = {"absolute": float((made_BTHWC.detach() - true_BTHWC).abs().mean())}
    if recipe.structure > 0.0:
        similar = ssim(made_BTHWC, true_BTHWC).mean()
        loss = loss + recipe.structure * (1.0 - similar)
        figures["ssim"] = float(similar.detach())
    return loss, figures | {"side": float(true_BTHWC.shape[2]), "frames": float(true_BTHWC.shape[1])}


class VaeLesson:
    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.model = VideoVae(PRESETS[config.preset].vae)

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        video_BTHWC = draw_video(dice, recipe, step)
        noise_B = torch.rand(len(video_BTHWC), generator=dice.torch) * recipe.noise
        return picture_loss(self.model(video_BTHWC, noise_B, dice.torch), video_BTHWC, recipe)

    def samples(self, model: nn.Module) -> list[NDArray[np.uint8]]:
        """Truth beside reconstruction."""
        clips = shown_clips()
        return beside(clips, model(to_pixels(np.stack(clips))))
