"""A bank of clips rendered and encoded once, so that the backbone trains on latents alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from edgecore_aiprod.training.vae import to_pixels
from edgecore_aiprod.vae import VideoVae
from edgecore_aiprod.world import Scene, render, sample_scene

_CHUNK = 16


class Bank:
    """Latents (N, T, H, W, C) in bfloat16 and the scene of each."""

    def __init__(self, latents_NTHWC: Tensor, scenes: list[Scene]) -> None:
        self.latents_NTHWC, self.scenes = latents_NTHWC, scenes

    @classmethod
    def build(cls, vae: VideoVae, clips: int, seed: int, frames: int = 17, quiet: bool = True) -> Bank:
        """Scene i depends on (seed, i) alone."""
        latents: list[Tensor] = []
        scenes = [sample_scene(np.random.default_rng((seed, index))) for index in range(clips)]
        for start in track(range(0, clips, _CHUNK), "encoding clips", disable=quiet):
            video = to_pixels([render(scene, frames) for scene in scenes[start : start + _CHUNK]])
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                latents.append(vae.encode(video).bfloat16())
        return cls(torch.cat(latents), scenes)

    @classmethod
    def load_or_build(cls, path: Path, vae: VideoVae, clips: int, seed: int) -> Bank:
        """The bank at `path`, made and kept there if there is none."""
        if path.exists():
            kept = torch.load(path, weights_only=True)
            scenes = [sample_scene(np.random.default_rng((seed, index))) for index in range(clips)]
            if len(kept) == clips:
                return cls(kept, scenes)
        bank = cls.build(vae, clips, seed, quiet=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(bank.latents_NTHWC, path)
        return bank

    def draw(self, batch: int, rng: np.random.Generator) -> tuple[Tensor, list[Scene]]:
        chosen = rng.integers(len(self.scenes), size=batch)
        return self.latents_NTHWC[torch.from_numpy(chosen)].float(), [self.scenes[index] for index in chosen]
