"""The backbone's lesson: rectified flow on encoded clips, told by a frozen text encoder what they show."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgecore_aiprod.backbone import HINTS, Backbone
from edgecore_aiprod.captions import caption
from edgecore_aiprod.conditioning import bound
from edgecore_aiprod.errors import TrainingError
from edgecore_aiprod.flow import (
    add_noise,
    draw_noise,
    draw_times,
    guided,
    latent_shape,
    sample,
    schedule,
    velocity_loss,
)
from edgecore_aiprod.pixels import to_frames
from edgecore_aiprod.presets import PRESETS, BackboneParams
from edgecore_aiprod.text import TextEncoder
from edgecore_aiprod.training.bank import Bank
from edgecore_aiprod.training.config import Recipe, TrainConfig
from edgecore_aiprod.training.folder import FolderBank, retyped
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.training.text import byte_level
from edgecore_aiprod.vae import VideoVae
from edgecore_aiprod.world import MOTIONS, Scene

_COMMON = (17, 64)  # frames and side of most clips
_CELLS = 5 * 4 * 4  # of such a clip's latent
_SHOWN = (
    "a red circle moving right",
    "a blue square moving left, slow",
    "a green heart moving up",
    "a yellow circle moving down, fast",
    "a purple square drifting up and to the left",
    "a white heart moving to the bottom right",
    "an orange circle that does not move",
    "a black square moving up, close-up",
)
_SHOWN_STEPS, _SHOWN_GUIDANCE = 8, 4.0  # of sampling them


def trained(state: Path, prefix: str = "") -> dict[str, Tensor]:
    """The averaged weights of a finished run whose names start with `prefix`, without it.

    Raises FileNotFoundError naming the lesson that has to be run first, TrainingError on what is no state.
    """
    if not state.exists():
        raise FileNotFoundError(f"{state} is missing: train `{state.parent.name}` first")
    try:
        weights = torch.load(state, map_location="cpu", weights_only=True)["ema"]
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise TrainingError(str(state), f"cannot be loaded: {error}") from error
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


class BackboneLesson:
    def __init__(self, config: TrainConfig, runs: Path, params: BackboneParams | None = None) -> None:
        """`params` takes the place of the preset's backbone, to compare another one with it."""
        preset = PRESETS[config.preset]
        self.vae = VideoVae(preset.vae)
        self.vae.load_state_dict(trained(runs / "vae" / "state.pt"))
        self.vae.eval().requires_grad_(False)
        self.folder = _open_folder(config, preset.vae.latent) if config.data else None
        sizes = set() if self.folder else {size for phase in config.phases for size in _sizes(phase)}
        self.banks = {
            size: Bank.load_or_build(runs / "bank", self.vae, _clips(config.clips, size), config.seed, *size)
            for size in sorted(sizes)
        }
        self.text = TextEncoder(byte_level(config.preset))
        self.text.load_state_dict(trained(runs / "text" / "state.pt", "encoder."))
        self.text.eval().requires_grad_(False)
        torch.manual_seed(config.seed)
        self.model: Backbone = Backbone(params or preset.backbone, preset.vae.latent, preset.text.out)

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        if self.folder is None:
            x0_BTHWC, conditions = self._draw_scenes(dice, recipe, step)
        else:
            x0_BTHWC, captions = self.folder.draw(recipe.batch, dice.numpy)
            grid = x0_BTHWC.shape[1:4]
            conditions = [draw_captioned(one, grid, dice.numpy, recipe) for one in captions]
        prompts, hints = zip(*conditions, strict=True)
        with torch.no_grad():
            text_BRE = self.text.encode(prompts)
        return flow_loss(self.model, x0_BTHWC, text_BRE, torch.stack(hints), dice, recipe)

    def _draw_scenes(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, list[tuple[str, Tensor]]]:
        """Latents (B, T, H, W, C) of the synthetic world, and for each a prompt and hints."""
        sizes = _sizes(recipe)
        bank = self.banks[sizes[step % len(sizes)]]
        batch = max(1, round(recipe.batch * _CELLS / bank.latents_NTHWC[0, ..., 0].numel()))
        x0_BTHWC, scenes = bank.draw(batch, dice.numpy, recipe.plain)
        return x0_BTHWC, [draw_condition(scene, bank, dice.numpy, recipe) for scene in scenes]

    def samples(self, model: nn.Module) -> list[NDArray[np.uint8]]:
        """Clips of fixed prompts, or of the folder's first captions, in a few steps."""
        prompts, grid = list(_SHOWN), latent_shape(1, _COMMON[0], _COMMON[1], _COMMON[1], 0)[1:4]
        if self.folder is not None:
            bucket, captions = self.folder.largest()
            prompts, grid = captions[: len(_SHOWN)], latent_shape(1, *bucket, 0)[1:4]
        asked_BRE, avoided_BRE = self.text.encode(prompts), self.text.encode([""] * len(prompts))
        denoise = guided(bound(model, asked_BRE), bound(model, avoided_BRE), _SHOWN_GUIDANCE)
        generator = torch.Generator(torch.get_default_device()).manual_seed(0)
        latent = draw_noise((len(prompts), *grid, self.vae.encoder.outlet.out_features), generator)
        for state in sample(denoise, latent, schedule(_SHOWN_STEPS), generator=generator):
            latent = state.x_BTHWC
        return list(to_frames(self.vae.decode(latent)))


def flow_loss(
    backbone: Backbone, x0_BTHWC: Tensor, text_BRE: Tensor, hints_BTHW4: Tensor, dice: Dice, recipe: Recipe
) -> tuple[Tensor, dict[str, float]]:
    """Of the clean clip that the backbone sees in a noisy one."""
    x_BTHWC, t_B = noised(x0_BTHWC, hints_BTHW4, dice, recipe)
    x0_hat = backbone(x_BTHWC, t_B, text_BRE, hints_BTHW4)
    loss = velocity_loss(x0_hat, x0_BTHWC, t_B)
    return loss, {"x0": float((x0_hat.detach() - x0_BTHWC).square().mean())}


def noised(x0_BTHWC: Tensor, hints_BTHW4: Tensor, dice: Dice, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Clips at times (B,) drawn for each; cells that a hint calls clean get no noise."""
    t_B = draw_times(len(x0_BTHWC), dice.torch, recipe.shifts)
    noisy = add_noise(x0_BTHWC, torch.randn(x0_BTHWC.shape, generator=dice.torch), t_B)
    return torch.where(hints_BTHW4[..., 3:] > 0.0, x0_BTHWC, noisy), t_B


def draw_condition(scene: Scene, bank: Bank, rng: np.random.Generator, recipe: Recipe) -> tuple[str, Tensor]:
    """A prompt and hints (T, H, W, 4) for a scene.

    Where the motion field is given, half of the captions name another motion: the field has to win.
    """
    _, frames, height, width, _ = bank.latents_NTHWC.shape
    hints = torch.zeros(frames, height, width, HINTS)
    told = scene
    if rng.random() < recipe.steered:
        hints = bank.motion_hints(scene, everywhere=bool(rng.random() < 0.5))
        if rng.random() < 0.5:
            told = replace(scene, motion=str(rng.choice(list(MOTIONS))))
    return _draw_given(lambda: caption(told, rng, recipe.languages).text, hints, rng, recipe)


def draw_captioned(
    told: str, grid: Sequence[int], rng: np.random.Generator, recipe: Recipe
) -> tuple[str, Tensor]:
    """A prompt and hints (T, H, W, 4) for a clip of a folder, whose motion nobody knows."""
    return _draw_given(lambda: retyped(told, rng), torch.zeros(*grid, HINTS), rng, recipe)


def _draw_given(
    told: Callable[[], str], hints_THW4: Tensor, rng: np.random.Generator, recipe: Recipe
) -> tuple[str, Tensor]:
    """The prompt, or none, and the hints, which call the first frame clean or not.

    `told` draws as well, so it is asked only for a prompt that is kept.
    """
    if rng.random() < recipe.opened:
        hints_THW4[0, :, :, 3] = 1.0
    return "" if rng.random() < recipe.text_drop else told(), hints_THW4


def _open_folder(config: TrainConfig, channels: int) -> FolderBank:
    """Raises TrainingError on a cache that does not fit the model or the curriculum."""
    folder = FolderBank.open(Path(config.data))
    if folder.channels != channels:
        raise TrainingError(
            config.data, f"latents have {folder.channels} channels, {config.preset} needs {channels}"
        )
    for phase in config.phases:
        if phase.steered > 0.0:
            raise TrainingError(
                config.data,
                f"has no motion fields: steered must be 0 in phase {phase.name}, not {phase.steered}",
            )
    return folder


def _sizes(recipe: Recipe) -> list[tuple[int, int]]:
    """(frames, side) of the phase's clips, in the order in which they are taken."""
    length = math.lcm(len(recipe.frames), len(recipe.sides))
    return [
        (recipe.frames[turn % len(recipe.frames)], recipe.sides[turn % len(recipe.sides)])
        for turn in range(length)
    ]


def _clips(clips: int, size: tuple[int, int]) -> int:
    """Of the common size all, of every other an eighth."""
    return clips if size == _COMMON else max(1, clips // 8)
