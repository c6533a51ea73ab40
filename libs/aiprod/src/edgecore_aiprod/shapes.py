"""Shapes have names: a tensor called x_BTHWC has the dimensions B, T, H, W and C."""

from __future__ import annotations

from torch import Tensor


def check_shape(name: str, x: Tensor, **sizes: int | None) -> None:
    """Raises ValueError naming the first dimension of `x` that is not of its size; None is any from 1."""
    letters = ", ".join(sizes)
    if x.dim() != len(sizes):
        raise ValueError(f"{name}: must have the dimensions ({letters}), not the shape {tuple(x.shape)}")
    for (letter, wanted), found in zip(sizes.items(), x.shape, strict=True):
        if found != wanted if wanted is not None else found < 1:
            rule = "at least 1" if wanted is None else str(wanted)
            raise ValueError(f"{name}: {letter} of ({letters}) must be {rule}, not {found}")


def shared(batch: int, x: Tensor) -> int:
    """The first dimension that `x` must have: 1 where one is given for all of a batch, else `batch`."""
    return 1 if x.dim() and len(x) == 1 else batch
