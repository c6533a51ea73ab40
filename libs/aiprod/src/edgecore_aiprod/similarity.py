"""Structural similarity of clips, frame by frame (Wang et al. 2004), as a figure and as a loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW, _SIGMA = 11, 1.5  # of the Gaussian window, as in the paper
_C1, _C2 = 0.01**2, 0.03**2  # times the square of the range of values, which is 1 here


def ssim(one_BTHWC: Tensor, other_BTHWC: Tensor) -> Tensor:
    """(B, T) structural similarity of RGB frames in [-1, 1], mean over pixels and channels; 1 is equal.

    The window is not padded, so frames have at least 11 pixels a side.
    """
    batch, frames = one_BTHWC.shape[:2]
    x, y = ((clip.flatten(0, 1).permute(0, 3, 1, 2).float() + 1.0) / 2.0 for clip in (one_BTHWC, other_BTHWC))
    with torch.autocast(x.device.type, enabled=False):  # a variance is lost in bfloat16
        mean_x, mean_y, xx, yy, xy = _blur(torch.stack([x, y, x * x, y * y, x * y])).unbind()
    variance = (xx - mean_x**2) + (yy - mean_y**2)
    covariance = xy - mean_x * mean_y
    light = (2.0 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2.0 * covariance + _C2) / (variance + _C2)
    return (light * structure).mean(dim=(1, 2, 3)).view(batch, frames)


def _blur(x_SNCHW: Tensor) -> Tensor:
    """The windowed mean, one axis after the other."""
    offset = torch.arange(_WINDOW, device=x_SNCHW.device) - _WINDOW // 2
    weight = torch.exp(-(offset.float() ** 2) / (2.0 * _SIGMA**2))
    weight = weight / weight.sum()
    x = x_SNCHW.flatten(0, 2).unsqueeze(1)
    x = F.conv2d(F.conv2d(x, weight.view(1, 1, -1, 1)), weight.view(1, 1, 1, -1))
    return x.view(*x_SNCHW.shape[:3], *x.shape[2:])
