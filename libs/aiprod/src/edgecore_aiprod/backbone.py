"""The backbone: attention and convolution interleaved over the latent grid, conditioned on time and text.

Attention blocks mix all cells by content; convolutional blocks (depthwise 3×3×3, then pointwise: a ConvNeXt
block in three dimensions) mix neighbours cheaply. Both are modulated by adaptive layer norm (DiT, Peebles and
Xie 2022) whose big projection is shared by all blocks, each adding a small table of its own (PixArt-α, Chen
et al. 2023). The text's registers are read by cross-attention, and their mean joins the timestep in the
modulation. Hints say for each cell what is known beforehand: its motion, or that it is clean already.

The network predicts the clean latent, not the velocity (Li and He 2025): a cell has as many channels as the
network is wide, and a velocity would have to carry all of the noise through it. `flow` turns one into the
other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgecore_aiprod.attention import CrossAttention, SelfAttention, rotary_angles_3d
from edgecore_aiprod.depthwise import DepthwiseConv3d
from edgecore_aiprod.presets import BackboneParams
from edgecore_aiprod.shapes import check_shape, shared

_TIME_CHANNELS = 128
#: Channels of a hint: motion to the right and down in pixels a frame; 1 where motion is asked for, else 0;
#: 1 where the cell is clean already, else 0.
HINTS = 4


def timestep_features(t_B: Tensor) -> Tensor:
    """(B, 128) sines and cosines of t in [0, 1]."""
    frequency = torch.exp(
        -math.log(1000.0) * torch.arange(_TIME_CHANNELS // 2, device=t_B.device) / (_TIME_CHANNELS // 2)
    )
    angle = 1000.0 * t_B[:, None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def modulate(x_BNC: Tensor, shift_B1C: Tensor, scale_B1C: Tensor) -> Tensor:
    return F.layer_norm(x_BNC, x_BNC.shape[-1:]) * (1.0 + scale_B1C) + shift_B1C


class AttentionBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward."""

    def __init__(self, params: BackboneParams, context: int) -> None:
        super().__init__()
        width = params.width
        self.table = nn.Parameter(torch.zeros(6, width))
        self.attention = SelfAttention(width, params.heads)
        self.cross_norm, self.cross = nn.LayerNorm(width), CrossAttention(width, context, params.heads)
        self.rise, self.fall = nn.Linear(width, params.feed_forward), nn.Linear(params.feed_forward, width)

    def forward(
        self,
        x_BNC: Tensor,
        change_B6C: Tensor,
        text_BRE: Tensor,
        angles_ND: Tensor,
        _: torch.Size,
    ) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = (change_B6C + self.table).unsqueeze(2).unbind(1)
        x = x_BNC + gate * self.attention(modulate(x_BNC, shift, scale), angles_ND)
        x = x + self.cross(self.cross_norm(x), text_BRE)
        y_BNC: Tensor = x + gate2 * self.fall(F.gelu(self.rise(modulate(x, shift2, scale2))))
        return y_BNC


class ConvBlock(nn.Module):
    """Depthwise 3×3×3 convolution over (time, height, width), then two pointwise maps."""

    def __init__(self, params: BackboneParams) -> None:
        super().__init__()
        width = params.width
        self.table = nn.Parameter(torch.zeros(6, width))
        self.depthwise = DepthwiseConv3d(width)
        self.rise, self.fall = (
            nn.Linear(width, params.conv_expansion * width),
            nn.Linear(params.conv_expansion * width, width),
        )

    def forward(
        self,
        x_BNC: Tensor,
        change_B6C: Tensor,
        _text: Tensor,
        _angles: Tensor,
        grid: torch.Size,
    ) -> Tensor:
        shift, scale, gate, _, _, _ = (change_B6C + self.table).unsqueeze(2).unbind(1)
        batch, _, width = x_BNC.shape
        h_BCTHW = modulate(x_BNC, shift, scale).reshape(batch, *grid, width).permute(0, 4, 1, 2, 3)
        h = self.depthwise(h_BCTHW).flatten(2).transpose(1, 2)
        y_BNC: Tensor = x_BNC + gate * self.fall(F.gelu(self.rise(h)))
        return y_BNC


class Backbone(nn.Module):
    """(noisy latent, time, text, hints) → clean latent."""

    def __init__(self, params: BackboneParams, latent: int, context: int) -> None:
        super().__init__()
        self.params, width = params, params.width
        self.inlet = nn.Linear(latent, width)
        self.hints = nn.Linear(HINTS, width, bias=False)
        self.time = nn.Sequential(nn.Linear(_TIME_CHANNELS, width), nn.SiLU(), nn.Linear(width, width))
        self.gist = nn.Linear(context, width)
        self.change = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(
            AttentionBlock(params, context) if letter == "A" else ConvBlock(params)
            for letter in params.blocks
        )
        self.last, self.outlet = nn.Linear(width, 2 * width), nn.Linear(width, latent)
        for layer in (self.change, self.last, self.outlet):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():  # gates start open a little, so that every block learns from the first step
            self.change.bias.view(6, width)[[2, 5]] = 0.3

    def forward(
        self, x_BTHWC: Tensor, t_B: Tensor, text_BRE: Tensor, hints_BTHW4: Tensor | None = None
    ) -> Tensor:
        """`t_B` is 1 for noise, 0 for clean; of the cells that a hint calls clean, too.

        One text, and one clip's hints, may be given for all of the batch. Raises ValueError naming a
        dimension that does not fit.
        """
        check_shape("x_BTHWC", x_BTHWC, B=None, T=None, H=None, W=None, C=self.inlet.in_features)
        batch, grid = x_BTHWC.shape[0], x_BTHWC.shape[1:4]
        check_shape("t_B", t_B, B=batch)
        check_shape("text_BRE", text_BRE, B=shared(batch, text_BRE), R=None, E=self.gist.in_features)
        frames, height, width = grid
        angles_ND = rotary_angles_3d(frames, height, width, self.params.width // self.params.heads).to(
            x_BTHWC.device
        )
        condition_BC = F.silu(self.time(timestep_features(t_B)) + self.gist(text_BRE.mean(dim=1)))
        change_B6C = self.change(condition_BC).unflatten(-1, (6, -1))
        x = self.inlet(x_BTHWC.flatten(1, 3))
        if hints_BTHW4 is not None:
            B = shared(batch, hints_BTHW4)
            check_shape("hints_BTHW4", hints_BTHW4, B=B, T=frames, H=height, W=width, C=HINTS)
            x = x + self.hints(hints_BTHW4.flatten(1, 3))
        for block in self.blocks:
            x = block(x, change_B6C, text_BRE, angles_ND, grid)
        shift, scale = self.last(condition_BC).unsqueeze(1).chunk(2, dim=-1)
        x0_BTHWC: Tensor = self.outlet(modulate(x, shift, scale)).float().view(x_BTHWC.shape)
        return x0_BTHWC
