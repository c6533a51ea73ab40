"""What the video networks are built of. Layout is channels-last throughout (x_BTHWC), so that a spatial
convolution is a channels-last 2D one and a temporal one is a linear map over three neighbouring frames: on a
CPU both run at matrix-product speed. Time is causal: no layer sees what comes later.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def zero(layer: nn.Linear) -> None:
    """Start a residual branch as nothing: colour then has a straight linear path through the network from
    step 0.
    """
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class SpatialConv(nn.Module):
    """3×3 convolution on each frame; stride 2 halves height and width."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, stride=stride, padding=1)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        frames_NCHW = x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
        y_BTHWC: Tensor = self.conv(frames_NCHW).permute(0, 2, 3, 1).unflatten(0, x_BTHWC.shape[:2])
        return y_BTHWC


class CausalConv(nn.Module):
    """Convolution over a frame and the two before it; stride 2 maps 2k+1 frames to k+1, frame 0 alone."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.taps = nn.Linear(3 * channels, out)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        frames = x_BTHWC.shape[1]
        past = F.pad(x_BTHWC, (0, 0, 0, 0, 0, 0, 2, 0))
        taps = [past[:, tap : tap + frames : self.stride] for tap in range(3)]
        y_BTHWC: Tensor = self.taps(torch.cat(taps, dim=-1))
        return y_BTHWC


class ResidualBlock(nn.Module):
    """The factorised 3D convolution of R(2+1)D (Tran et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.space_norm, self.time_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.space, self.time = SpatialConv(channels, channels), CausalConv(channels, channels)
        zero(self.time.taps)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        h = self.space(F.silu(self.space_norm(x_BTHWC)))
        y_BTHWC: Tensor = x_BTHWC + self.time(F.silu(self.time_norm(h)))
        return y_BTHWC


class TemporalAttention(nn.Module):
    """Each cell attends to itself at earlier times."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        zero(self.out)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        batch, _, height, width, _ = x_BTHWC.shape
        sequence_NTC = self.norm(x_BTHWC).permute(0, 2, 3, 1, 4).flatten(0, 2)
        q, k, v = self.qkv(sequence_NTC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)
        h: Tensor = self.out(mixed).unflatten(0, (batch, height, width)).permute(0, 3, 1, 2, 4)
        return x_BTHWC + h


class Down(nn.Module):
    """Half the height, width and frames."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.space, self.time = SpatialConv(channels, out, stride=2), CausalConv(out, out, stride=2)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        y_BTHWC: Tensor = self.time(self.space(x_BTHWC))
        return y_BTHWC


class Up(nn.Module):
    """Twice the height and width; k+1 frames become 2k+1: two each, and the first one's first is dropped."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.time, self.space = CausalConv(channels, 2 * channels), nn.Linear(channels, 4 * out)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        x = self.time(x_BTHWC).unflatten(-1, (2, -1)).permute(0, 1, 4, 2, 3, 5).flatten(1, 2)[:, 1:]
        return unfold_patches(self.space(x), 2)


def fold_patches(x_BTHWC: Tensor, size: int) -> Tensor:
    """(B, T, H, W, C) → (B, T, H/size, W/size, size·size·C)."""
    batch, frames, height, width, channels = x_BTHWC.shape
    x = x_BTHWC.reshape(batch, frames, height // size, size, width // size, size, channels)
    return x.permute(0, 1, 2, 4, 3, 5, 6).flatten(4)


def unfold_patches(x_BTHWC: Tensor, size: int) -> Tensor:
    """The inverse of `fold_patches`."""
    batch, frames, height, width, channels = x_BTHWC.shape
    x = x_BTHWC.reshape(batch, frames, height, width, size, size, channels // size**2)
    return x.permute(0, 1, 2, 4, 3, 5, 6).flatten(4, 5).flatten(2, 3)
