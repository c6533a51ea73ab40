"""Attention with rotary positions, shared by the text encoder and the backbone.

Rotary embedding: Su et al. 2021; in three dimensions the head's channels are split among time, height and
width. Queries and keys are normalised (Henry et al. 2020), which keeps small models stable.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LONG = 1024  # tokens


def rotary_angles(position_N: Tensor, channels: int, base: float = 1000.0) -> Tensor:
    """(N, channels/2) angles; `channels` is even."""
    frequency = base ** -(torch.arange(0, channels, 2, device=position_N.device) / channels)
    return position_N.float()[:, None] * frequency


@lru_cache(maxsize=8)
def rotary_angles_3d(frames: int, height: int, width: int, channels: int) -> Tensor:
    """(frames·height·width, channels/2): a quarter of the channels for time, three eighths each for height
    and width.
    """
    side = 2 * (channels * 3 // 16)
    shares = (channels - 2 * side, side, side)
    axes = (torch.arange(length, device="cpu") for length in (frames, height, width))
    grid = torch.meshgrid(*axes, indexing="ij")
    return torch.cat(
        [rotary_angles(axis.flatten(), share, 100.0) for axis, share in zip(grid, shares, strict=True)],
        dim=-1,
    )


def rotate(x_BHND: Tensor, angles_ND: Tensor) -> Tensor:
    """Turn the pairs (first half, second half) of the channels by their angles."""
    cos, sin = angles_ND.cos().to(x_BHND.dtype), angles_ND.sin().to(x_BHND.dtype)
    first, second = x_BHND.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def attend(q_BHND: Tensor, k_BHLD: Tensor, v_BHLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
    """Softmax attention → (B, N, H·D); `mask_BL` is True where a token is real.

    Written out for short sequences, because on a CPU the fused kernel is slower than this at the sizes of the
    small presets; for long ones the scores would not fit.
    """
    if q_BHND.shape[2] > _LONG:
        v = v_BHLD
        mask = None if mask_BL is None else mask_BL[:, None, None, :]
        fused = F.scaled_dot_product_attention(q_BHND.to(v.dtype), k_BHLD.to(v.dtype), v, attn_mask=mask)
        fused_BNC: Tensor = fused.transpose(1, 2).flatten(-2)
        return fused_BNC
    score_BHNL = (q_BHND * q_BHND.shape[-1] ** -0.5).to(v_BHLD.dtype) @ k_BHLD.to(v_BHLD.dtype).transpose(
        -1, -2
    )
    if mask_BL is not None:
        score_BHNL = score_BHNL.masked_fill(~mask_BL[:, None, None, :], -torch.inf)
    mixed_BHND = score_BHNL.softmax(dim=-1).to(v_BHLD.dtype) @ v_BHLD
    mixed_BNC: Tensor = mixed_BHND.transpose(1, 2).flatten(-2)
    return mixed_BNC


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.q_norm, self.k_norm = nn.LayerNorm(width // heads), nn.LayerNorm(width // heads)

    def forward(self, x_BNC: Tensor, angles_ND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """`mask_BN` is True where a token is real."""
        q, k, v = self.qkv(x_BNC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(self.q_norm(q), angles_ND), rotate(self.k_norm(k), angles_ND)
        y_BNC: Tensor = self.out(attend(q, k, v, mask_BN))
        return y_BNC


class CrossAttention(nn.Module):
    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.out = (
            nn.Linear(width, width),
            nn.Linear(context, 2 * width),
            nn.Linear(width, width),
        )
        self.q_norm, self.k_norm = nn.LayerNorm(width // heads), nn.LayerNorm(width // heads)

    def forward(self, x_BNC: Tensor, text_BRE: Tensor) -> Tensor:
        q = self.q_norm(self.q(x_BNC).unflatten(-1, (self.heads, -1)).transpose(1, 2))
        k, v = self.kv(text_BRE).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y_BNC: Tensor = self.out(attend(q, self.k_norm(k), v))
        return y_BNC
