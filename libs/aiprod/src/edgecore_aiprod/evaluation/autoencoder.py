"""The video autoencoder on unseen clips: SSIM, PSNR, a perceptual distance, the detector's word."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgecore_aiprod.detector import detect
from edgecore_aiprod.evaluation.features import PERCEPTUAL, perceptual_distance
from edgecore_aiprod.evaluation.trials import prompts, reconstruct
from edgecore_aiprod.pipeline import AiprodPipeline
from edgecore_aiprod.pixels import to_frames, to_pixels
from edgecore_aiprod.presets import SPATIAL, TEMPORAL
from edgecore_aiprod.similarity import ssim
from edgecore_aiprod.world import Scene, Video, render


@dataclass(frozen=True)
class Rebuilt:
    """One clip, through the autoencoder, and the same clip shrunk to as many values as its latent has."""

    scene: Scene
    truth: Video
    video: Video
    shrunk: Video


def rebuild(pipeline: AiprodPipeline, count: int, seed: int, side: int) -> Iterator[Rebuilt]:
    """Unseen scenes at `side` pixels, 17 frames."""
    channels = pipeline.model.params.vae.latent
    for _, scene in prompts(count, seed):
        truth = render(scene, 17, side, side)
        yield Rebuilt(scene, truth, reconstruct(pipeline, truth), shrink(truth, channels))


def shrink(video: Video, channels: int) -> Video:
    """A smaller clip of about as many values as the latent, enlarged again: what plain averaging keeps."""
    frames, side = video.shape[0], video.shape[1]
    times = (frames - 1) // TEMPORAL + 1
    small = round(side / SPATIAL * math.sqrt(channels / 3))
    x_BCTHW = to_pixels(video).permute(3, 0, 1, 2)[None]
    kept = F.adaptive_avg_pool3d(x_BCTHW, (times, small, small))
    back = F.interpolate(kept, size=(frames, side, side), mode="trilinear")
    return to_frames(back[0].permute(1, 2, 3, 0))


def psnr(one: Video, other: Video) -> float:
    """Peak signal-to-noise ratio in dB of uint8 clips; 99 where they are equal."""
    error = float(np.square(one.astype(np.float64) - other).mean())
    return 99.0 if error == 0.0 else 10.0 * math.log10(255.0**2 / error)


def measure(pipeline: AiprodPipeline, clips: list[Rebuilt]) -> dict[str, Any]:
    """Means over clips; `shrunk` holds the same figures of plain averaging."""
    return {
        "clips": len(clips),
        "side": clips[0].truth.shape[1],
        "extractor": PERCEPTUAL,
        **_figures(pipeline, clips, [clip.video for clip in clips]),
        "shrunk": _figures(pipeline, clips, [clip.shrunk for clip in clips]),
    }


def _figures(pipeline: AiprodPipeline, clips: list[Rebuilt], videos: list[Video]) -> dict[str, float]:
    encoder = pipeline.model.vae.encoder
    similar, apart, passed = [], [], []
    for clip, video in zip(clips, videos, strict=True):
        true_BTHWC, made_BTHWC = (_one(pixels, pipeline.device) for pixels in (clip.truth, video))
        similar.append(float(ssim(made_BTHWC, true_BTHWC).mean()))
        apart.append(float(perceptual_distance(encoder, made_BTHWC, true_BTHWC)))
        scene = clip.scene
        passed.append(all(detect(video).agrees(scene.colour, scene.shape, scene.motion)))
    return {
        "ssim": float(np.mean(similar)),
        "ssim_worst": float(np.min(similar)),
        "psnr": float(np.mean([psnr(clip.truth, video) for clip, video in zip(clips, videos, strict=True)])),
        "perceptual": float(np.mean(apart)),
        "all": float(np.mean(passed)),
    }


def _one(video: Video, device: torch.device) -> Tensor:
    return to_pixels(video)[None].to(device)
