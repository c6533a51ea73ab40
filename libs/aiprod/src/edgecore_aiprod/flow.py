"""Rectified flow (Liu et al. 2022): straight paths from noise (t = 1) to data (t = 0), as free functions.

x_t = (1 - t)·x0 + t·noise, velocity v = noise - x0 = (x_t - x0)/t. Training draws t from a logit-normal
(Esser et al. 2024) moved towards noise: a latent this redundant shows its colour and shape through a lot of
noise, so they are decided near t = 1, and both training and sampling spend their steps there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from edgecore_aiprod.presets import SPATIAL, TEMPORAL

#: (x_BTHWC, t_B) → clean latent
Denoiser = Callable[[Tensor, Tensor], Tensor]

SHIFT = (
    12.0  # of sampling: how far times are moved towards noise; 1 is not at all, 12 puts the middle at 0.92
)
CHURN = 1.0  # of sampling: share of fresh noise
GUIDED_ABOVE = 0.9  # the time down to which guidance works
_T_FLOOR = 0.1  # in the loss's 1/t, so that nearly clean samples do not drown the rest


class LatentShape(NamedTuple):
    batch: int
    frames: int
    height: int
    width: int
    channels: int


def latent_shape(batch: int, frames: int, height: int, width: int, channels: int) -> LatentShape:
    """Of a clip measured in pixels."""
    return LatentShape(batch, (frames - 1) // TEMPORAL + 1, height // SPATIAL, width // SPATIAL, channels)


def shift_times(t: Tensor, shift: float | Tensor = SHIFT) -> Tensor:
    return shift * t / (1.0 + (shift - 1.0) * t)


def draw_times(batch: int, generator: torch.Generator, shifts: tuple[float, float]) -> Tensor:
    """Training times (B,): logit-normal, each shifted by a factor drawn log-uniformly between the two."""
    low, high = shifts
    shift_B = low * (high / low) ** torch.rand(batch, generator=generator)
    return shift_times(torch.randn(batch, generator=generator).sigmoid(), shift_B)


def add_noise(x0_BTHWC: Tensor, noise_BTHWC: Tensor, t_B: Tensor) -> Tensor:
    t = t_B[:, None, None, None, None]
    return (1.0 - t) * x0_BTHWC + t * noise_BTHWC


def velocity_loss(x0_hat_BTHWC: Tensor, x0_BTHWC: Tensor, t_B: Tensor) -> Tensor:
    """Mean squared error of the velocity that follows from a clean estimate."""
    error_B = (x0_hat_BTHWC - x0_BTHWC).square().mean(dim=(1, 2, 3, 4))
    return (error_B / t_B.clamp(min=_T_FLOOR).square()).mean()


def schedule(steps: int) -> Tensor:
    """(steps + 1,) times from 1 down to 0."""
    return shift_times(torch.linspace(1.0, 0.0, steps + 1))


def draw_noise(shape: Sequence[int], generator: torch.Generator | Sequence[torch.Generator] | None) -> Tensor:
    """Standard normal noise, clips first; with a generator a clip, each clip's is what it would be alone."""
    if generator is None or isinstance(generator, torch.Generator):
        return torch.randn(*shape, generator=generator)
    return torch.stack([torch.randn(*shape[1:], generator=one) for one in generator])


class Step(NamedTuple):
    """After an Euler step: the state, and the clean latent the network saw in it."""

    x_BTHWC: Tensor
    x0_BTHWC: Tensor


def sample(
    denoise: Denoiser,
    start_BTHWC: Tensor,
    times: Tensor,
    churn: float = CHURN,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    opening_BTHWC: Tensor | None = None,
) -> Iterator[Step]:
    """Steps along the flow, one at a time, so that the caller can stop between them.

    `times` fall from that of `start_BTHWC` to 0; a step lies between each two. The cells of `opening_BTHWC`,
    the clean latent of the clip's first frames (B, k, H, W, C), stay as they are given at every time, as in
    the backbone's lesson.

    A step goes to where the straight path from the clean estimate passes the next time. With `churn` 0 that
    path ends at the noise the state already has (the plain Euler step, deterministic); with 1 at fresh noise
    from `generator`, which forgets the errors of earlier steps (the stochastic sampler of consistency models,
    Song et al. 2023); between, at a mix of the same variance. With churn a corrector goes first (Song et al.
    2021): one such move that stays at its time. Motion is decided in few steps near t = 1, and a second look
    there is what it needs.
    """

    def move(x: Tensor, x0: Tensor, t: Tensor, after: Tensor) -> Tensor:
        noise = (x - (1.0 - t) * x0) / t
        if churn > 0.0:
            fresh = draw_noise(x.shape, generator).to(x.device)
            noise = (1.0 - churn**2) ** 0.5 * noise + churn * fresh
        return opened((1.0 - after) * x0 + after * noise, opening_BTHWC)

    x = opened(start_BTHWC, opening_BTHWC)
    for t, after in pairwise(times):
        t_B = t.expand(len(x)).to(x.device)
        if churn > 0.0 and t < 1.0:
            x = move(x, denoise(x, t_B), t, t)
        x0 = opened(denoise(x, t_B), opening_BTHWC)
        x = move(x, x0, t, after)
        yield Step(x, x0)


def opened(x_BTHWC: Tensor, opening_BTHWC: Tensor | None) -> Tensor:
    """`x_BTHWC` with the given first frames in the place of its own."""
    if opening_BTHWC is None:
        return x_BTHWC
    return torch.cat([opening_BTHWC, x_BTHWC[:, opening_BTHWC.shape[1] :]], dim=1)


def guided(asked: Denoiser, avoided: Denoiser, guidance: float) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022): `guidance` times the gap from `avoided` to `asked`.

    Only down to t = GUIDED_ABOVE (a limited interval, Kynkäänniemi et al. 2024): above it colour, shape and
    motion are decided; below it guidance only exaggerates outlines, and half of the work is saved.
    """

    def denoise(x_BTHWC: Tensor, t_B: Tensor) -> Tensor:
        x0 = asked(x_BTHWC, t_B)
        if guidance == 1.0 or bool((t_B < GUIDED_ABOVE).all()):
            return x0
        from_here = avoided(x_BTHWC, t_B)
        return from_here + guidance * (x0 - from_here)

    return denoise


def blended(plain: Denoiser, steered: Denoiser, strength: float) -> Denoiser:
    """(1 - strength) of the first estimate and `strength` of the second; at 0 and 1 only one is made."""
    if strength == 0.0:
        return plain
    if strength == 1.0:
        return steered

    def denoise(x_BTHWC: Tensor, t_B: Tensor) -> Tensor:
        return (1.0 - strength) * plain(x_BTHWC, t_B) + strength * steered(x_BTHWC, t_B)

    return denoise
