"""A bank of clips rendered and encoded once, so that the backbone trains on latents alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from edgecore_aiprod.pixels import to_pixels
from edgecore_aiprod.presets import SPATIAL
from edgecore_aiprod.replacement import replacing
from edgecore_aiprod.vae import VideoVae
from edgecore_aiprod.world import MOTIONS, Scene, render, sample_scene

_CHUNK_PIXELS = 16 * 64**2  # encoded at once, by the area of their frames


class Bank:
    """Latents (N, T, H, W, C) of clips of one size, in bfloat16, and the scene of each."""

    def __init__(self, latents_NTHWC: Tensor, scenes: list[Scene], frames: int, side: int) -> None:
        self.latents_NTHWC, self.scenes, self.frames, self.side = latents_NTHWC, scenes, frames, side
        self._plain = np.flatnonzero([scene.texture is None for scene in scenes])

    @classmethod
    def build(cls, vae: VideoVae, clips: int, seed: int, frames: int, side: int, quiet: bool = True) -> Bank:
        """Scene i depends on (seed, i) alone."""
        latents: list[Tensor] = []
        scenes = _scenes(clips, seed)
        chunk = max(1, _CHUNK_PIXELS // side**2)
        for start in track(range(0, clips, chunk), f"encoding {frames}×{side}×{side}", disable=quiet):
            shown = [render(scene, frames, side, side) for scene in scenes[start : start + chunk]]
            video = to_pixels(np.stack(shown))
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                latents.append(vae.encode(video).bfloat16().cpu())
        return cls(torch.cat(latents), scenes, frames, side)

    @classmethod
    def load_or_build(
        cls, folder: Path, vae: VideoVae, clips: int, seed: int, frames: int, side: int
    ) -> Bank:
        """The bank kept in `folder`, made and kept there if there is none of these scenes by this encoder."""
        path = folder / f"bank-{frames}x{side}-{clips}-{seed}-{encoder_sha256(vae)[:8]}.pt"
        if path.exists():
            latents_NTHWC = torch.load(path, map_location="cpu", weights_only=True)
            return cls(latents_NTHWC, _scenes(clips, seed), frames, side)
        bank = cls.build(vae, clips, seed, frames, side, quiet=False)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            torch.save(bank.latents_NTHWC, partial)
        return bank

    def draw(self, batch: int, rng: np.random.Generator, plain: float) -> tuple[Tensor, list[Scene]]:
        """Random clips, at least the share `plain` of them on plain ground."""
        chosen = rng.integers(len(self.scenes), size=batch)
        if len(self._plain):
            forced = rng.random(batch) < plain
            chosen = np.where(forced, self._plain[rng.integers(max(1, len(self._plain)), size=batch)], chosen)
        latents_BTHWC = self.latents_NTHWC[torch.from_numpy(chosen)].float().to(torch.get_default_device())
        return latents_BTHWC, [self.scenes[index] for index in chosen]

    def motion_hints(self, scene: Scene, everywhere: bool) -> Tensor:
        """(T, H, W, 4): the scene's motion, the same everywhere or only where the object is."""
        _, frames, height, width, _ = self.latents_NTHWC.shape
        unit = self.side / 64.0
        velocity = torch.tensor(MOTIONS[scene.motion]) * scene.travel * unit / (self.frames - 1)
        hints = torch.zeros(frames, height, width, 4)
        hints[..., 2] = 1.0
        hints[..., :2] = velocity if everywhere else velocity * self._cover(scene)[..., None]
        return hints

    def _cover(self, scene: Scene) -> Tensor:
        """(T, H, W) from 0 to 1: how much of a cell a disc in the object's place would fill, roughly."""
        _, frames, height, width, _ = self.latents_NTHWC.shape
        unit = self.side / 64.0
        phase_T = (torch.arange(frames) / max(1, frames - 1) - 0.5) * scene.travel
        dx, dy = MOTIONS[scene.motion]
        x_T = self.side / 2 + (scene.centre[0] + dx * phase_T) * unit
        y_T = self.side / 2 + (scene.centre[1] + dy * phase_T) * unit
        cell = SPATIAL
        x_W, y_H = (torch.arange(width) + 0.5) * cell, (torch.arange(height) + 0.5) * cell
        distance_THW = torch.hypot(x_W - x_T[:, None, None], y_H[:, None] - y_T[:, None, None])
        return ((scene.radius * unit + cell / 2 - distance_THW) / cell).clamp(0.0, 1.0)


def encoder_sha256(vae: VideoVae) -> str:
    """Of the encoder's weights: latents of another encoder mean something else."""
    digest = hashlib.sha256()
    for name, value in vae.encoder.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _scenes(clips: int, seed: int) -> list[Scene]:
    return [sample_scene(np.random.default_rng((seed, index))) for index in range(clips)]
