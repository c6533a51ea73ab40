"""How weights lie in a file: float16, and where a part can bear it eight bits a weight.

A matrix in eight bits is int8 with one float16 scale per output row (absmax quantisation), kept beside it
under `<name>.scale`. Vectors stay float32 (a variance may be out of float16's range) and counters integers.
Everything is float32 again in memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgecore_aiprod.errors import CheckpointError

_SCALE = ".scale"
_SMALLEST = 4096  # values; below it eight bits save nothing worth having


def pack(weights: dict[str, Tensor], in_eight_bits: Callable[[str], bool]) -> dict[str, Tensor]:
    """For writing. `in_eight_bits` is asked by name, and only matrices of some size are taken."""
    packed: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not value.is_floating_point() or value.dim() < 2:
            packed[name] = value.contiguous()
        elif value.numel() >= _SMALLEST and in_eight_bits(name):
            rows = value.float().flatten(1)
            scale = (rows.abs().amax(dim=1) / 127.0).clamp(min=1e-7).half()
            packed[name] = (
                (rows / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8).view(value.shape)
            )
            packed[name + _SCALE] = scale
        else:
            packed[name] = value.half().contiguous()
    return packed


def unpack(packed: dict[str, Tensor], file: str) -> dict[str, Tensor]:
    """The inverse; floating-point values in float32. Raises CheckpointError on an int8 matrix without its
    scale.
    """
    weights: dict[str, Tensor] = {}
    scales = {
        name for name, value in packed.items() if name.endswith(_SCALE) and _matrix(packed, name) is not None
    }
    for name, value in packed.items():
        if name in scales:
            continue
        if value.dtype != torch.int8:
            weights[name] = value.float() if value.is_floating_point() else value
            continue
        if value.dim() < 2:
            raise CheckpointError(file, f"is int8 of shape {tuple(value.shape)}, which is no matrix", name)
        if name + _SCALE not in scales or packed[name + _SCALE].shape != value.shape[:1]:
            raise CheckpointError(file, "is int8 and has no scale of its rows", name)
        rows = value.float().flatten(1) * packed[name + _SCALE].float()[:, None]
        weights[name] = rows.view(value.shape)
    return weights


def _matrix(packed: dict[str, Tensor], scale: str) -> Tensor | None:
    matrix = packed.get(scale.removesuffix(_SCALE))
    return matrix if matrix is not None and matrix.dtype == torch.int8 else None
