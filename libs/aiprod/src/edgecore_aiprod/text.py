"""The byte-level text encoder: any script, no tokenizer file, no unknown words.

UTF-8 bytes between a begin and an end mark are embedded and convolved; every four of them become one token,
as in CANINE's down-sampling (Clark et al. 2021), and a small transformer with rotary positions mixes the
tokens. Nothing is cut off: 2,000 characters are at most 8,000 bytes, 2,000 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgecore_aiprod.attention import SelfAttention, rotary_angles
from edgecore_aiprod.presets import TextParams

_PAD, _BEGIN, _END = 256, 257, 258


def to_bytes(prompts: Sequence[str], stride: int) -> Tensor:
    """(B, N) byte ids, N a multiple of `stride`. Raises UnicodeEncodeError on unpaired surrogates."""
    rows = [[_BEGIN, *prompt.encode("utf-8"), _END] for prompt in prompts]
    length = -(-max(map(len, rows)) // stride) * stride
    return torch.tensor([row + [_PAD] * (length - len(row)) for row in rows])


class TextBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.rise, self.fall = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BNC: Tensor, angles_ND: Tensor, mask_BN: Tensor) -> Tensor:
        x = x_BNC + self.attention(self.norm1(x_BNC), angles_ND, mask_BN)
        y_BNC: Tensor = x + self.fall(F.gelu(self.rise(self.norm2(x)), approximate="tanh"))
        return y_BNC


class TextEncoder(nn.Module):
    def __init__(self, params: TextParams) -> None:
        super().__init__()
        self.params = params
        self.embed = nn.Embedding(259, params.byte_width)
        self.near = nn.ModuleList(
            nn.Conv1d(params.byte_width, params.byte_width, 5, padding=2) for _ in range(2)
        )
        self.fold = nn.Linear(params.stride * params.byte_width, params.width)
        self.blocks = nn.ModuleList(TextBlock(params.width, params.heads) for _ in range(params.depth))
        self.norm, self.project = nn.LayerNorm(params.width), nn.Linear(params.width, params.out)

    def forward(self, byte_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, L, out), zero where the mask (B, L) is False; L = N/stride. Padding changes nothing."""
        real_BN1 = (byte_BN != _PAD)[..., None]
        x = self.embed(byte_BN) * real_BN1
        for conv in self.near:
            x = (x + F.silu(conv(x.transpose(1, 2)).transpose(1, 2))) * real_BN1
        stride = self.params.stride
        mask_BL = real_BN1[:, ::stride, 0]
        x = self.fold(x.unflatten(1, (-1, stride)).flatten(2))
        angles = rotary_angles(
            torch.arange(x.shape[1], device=x.device), self.params.width // self.params.heads
        )
        for block in self.blocks:
            x = block(x, angles, mask_BL)
        return self.project(self.norm(x)).float() * mask_BL[..., None], mask_BL

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        tokens_BLE, mask_BL = self(to_bytes(prompts, self.params.stride).to(self.embed.weight.device))
        return tokens_BLE, mask_BL
