"""The byte-level text encoder: any script, no tokenizer file, no unknown words.

UTF-8 bytes between a begin and an end mark are embedded and convolved; every four of them become one token,
as in CANINE's down-sampling (Clark et al. 2021), and a small transformer with rotary positions lets a few
learned registers read the tokens. Nothing is cut off: 2,000 characters are at most 8,000 bytes, 2,000 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgecore_aiprod.attention import SelfAttention, rotary_angles
from edgecore_aiprod.presets import TERMS, TextParams
from edgecore_aiprod.vocabulary import find_terms

_PAD, _BEGIN, _END = 256, 257, 258


def to_bytes(prompts: Sequence[str], stride: int) -> Tensor:
    """(B, N) byte ids, N a multiple of `stride`. Raises UnicodeEncodeError on unpaired surrogates."""
    rows = [[_BEGIN, *prompt.encode("utf-8"), _END] for prompt in prompts]
    length = -(-max(map(len, rows)) // stride) * stride
    return torch.tensor([row + [_PAD] * (length - len(row)) for row in rows])


def term_ids(prompts: Sequence[str]) -> Tensor:
    """(B, M) ids of the vocabulary's terms in each prompt, `TERMS` for none; M is the most that one has."""
    rows = [find_terms(prompt) for prompt in prompts]
    length = max(map(len, rows))
    return torch.tensor([row + [TERMS] * (length - len(row)) for row in rows], dtype=torch.long).view(
        len(rows), length
    )


class TextBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.rise, self.fall = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BNC: Tensor, angle_B1ND: Tensor, mask_BN: Tensor) -> Tensor:
        x = x_BNC + self.attention(self.norm1(x_BNC), angle_B1ND, mask_BN)
        y_BNC: Tensor = x + self.fall(F.gelu(self.rise(self.norm2(x))))
        return y_BNC


class Connector(nn.Module):
    """Learned registers go through a transformer together with a prompt's tokens, and come out alone."""

    def __init__(self, registers: int, width: int, depth: int, heads: int, out: int) -> None:
        super().__init__()
        self.registers = nn.Parameter(torch.randn(registers, width) * 0.5)
        self.blocks = nn.ModuleList(TextBlock(width, heads) for _ in range(depth))
        self.norm, self.project = nn.LayerNorm(width), nn.Linear(width, out)
        self.heads = heads

    def forward(self, token_BLC: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, R, out); `mask_BL` is True where a token is real."""
        batch, length, width = token_BLC.shape
        count = len(self.registers)
        x = torch.cat([self.registers.expand(batch, -1, -1).to(token_BLC.dtype), token_BLC], dim=1)
        mask = F.pad(mask_BL, (count, 0), value=True)
        position_BL = (mask_BL.long().cumsum(dim=1) - 1).clamp(min=0)  # padding does not count
        angle_LD = rotary_angles(F.pad(position_BL, (count, 0)).flatten(), width // self.heads)
        angle_B1LD = angle_LD.view(batch, 1, count + length, -1)  # the same for all heads
        for block in self.blocks:
            x = block(x, angle_B1LD, mask)
        register_BRE: Tensor = self.project(self.norm(x[:, :count])).float()
        return register_BRE


class TextEncoder(nn.Module):
    """Bytes → tokens → learned registers, which read the tokens and are all that the rest of the model sees.

    The registers (Darcet et al. 2024; LTX-2's text connectors end in such) make every prompt a fixed number
    of vectors, whatever its language and length. Terms of the video vocabulary join the tokens as one learned
    vector each, zero at first.
    """

    def __init__(self, params: TextParams) -> None:
        super().__init__()
        self.params = params
        self.embed = nn.Embedding(259, params.byte_width)
        self.near = nn.ModuleList(
            nn.Conv1d(params.byte_width, params.byte_width, 5, padding=2) for _ in range(2)
        )
        self.fold = nn.Linear(params.stride * params.byte_width, params.width)
        self.terms = nn.Embedding(TERMS + 1, params.width, padding_idx=TERMS)
        self.connector = Connector(params.registers, params.width, params.depth, params.heads, params.out)
        nn.init.zeros_(self.terms.weight)

    def forward(self, byte_BN: Tensor, term_BM: Tensor) -> Tensor:
        """Registers (B, R, out) from UTF-8 bytes and the ids of terms, `TERMS` for none. Padding changes
        nothing.
        """
        real_BN1 = (byte_BN != _PAD)[..., None]
        x = self.embed(byte_BN) * real_BN1
        for conv in self.near:
            x = (x + F.silu(conv(x.transpose(1, 2)).transpose(1, 2))) * real_BN1
        stride = self.params.stride
        x = self.fold(x.unflatten(1, (-1, stride)).flatten(2))
        tokens_BLC = torch.cat([x, self.terms(term_BM)], dim=1)
        mask_BL = torch.cat([real_BN1[:, ::stride, 0], term_BM != TERMS], dim=1)
        register_BRE: Tensor = self.connector(tokens_BLC, mask_BL)
        return register_BRE

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Registers (B, R, out). Raises UnicodeEncodeError on unpaired surrogates."""
        device = self.embed.weight.device
        term_BM = term_ids(prompts)
        register_BRE: Tensor = self(to_bytes(prompts, self.params.stride).to(device), term_BM.to(device))
        return register_BRE
