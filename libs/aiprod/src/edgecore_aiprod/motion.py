"""Motion fields: what an asked motion looks like to the backbone, as hints over the latent grid.

A field holds, for each frame and pixel, how far what is there moves until the next frame: pixels to the right
and down. The backbone is told its mean over each latent cell.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgecore_aiprod.backbone import HINTS
from edgecore_aiprod.presets import TEMPORAL
from edgecore_aiprod.shapes import check_shape


def opening_hints(opened: int, frames: int, height: int, width: int) -> Tensor:
    """(1, T, h, w, 4) over a latent grid: the first `opened` frames are clean already, no motion is asked."""
    hints = torch.zeros(1, frames, height, width, HINTS)
    hints[:, :opened, ..., 3] = 1.0
    return hints


def motion_field(motion: Tensor, frames: int, height: int, width: int) -> Tensor:
    """(F, H, W, 2) of one vector (2,) that holds everywhere and always, or of such a field itself."""
    return motion.expand(frames, height, width, 2)


def motion_hints(field_FHW2: Tensor, height: int, width: int) -> Tensor:
    """(T, h, w, 4) hints of a field over F = 4k+1 frames; `height` and `width` are the latent grid's.

    The first latent frame covers frame 0 alone, each later one four frames. Raises ValueError on a field that
    is none.
    """
    check_shape("field_FHW2", field_FHW2, F=None, H=None, W=None, C=2)
    frames = field_FHW2.shape[0]
    if (frames - 1) % TEMPORAL:
        raise ValueError(f"field_FHW2: F must be 4k+1, not {frames}")
    pooled_FHW2 = F.adaptive_avg_pool2d(field_FHW2.permute(0, 3, 1, 2), (height, width)).permute(0, 2, 3, 1)
    later = pooled_FHW2[1:].reshape(-1, TEMPORAL, height, width, 2).mean(dim=1)
    motion = torch.cat([pooled_FHW2[:1], later])
    known = torch.tensor([1.0, 0.0]).expand(*motion.shape[:3], 2)
    return torch.cat([motion, known], dim=-1)
