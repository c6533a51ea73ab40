"""What the video autoencoder's own encoder sees in clips: the features of two measures, nothing downloaded.

The usual extractors (VGG for LPIPS, I3D for FVD) are trained on photographs and have to be downloaded; this
encoder is trained on this world and ships with the model. The price: it is the judged model's own eye, so the
two measures compare versions of one model with the same encoder, and are no match for published figures.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgecore_aiprod.vae import Encoder
from edgecore_aiprod.video_layers import ResidualBlock

#: How the reports name the extractors.
PERCEPTUAL = (
    "residual blocks of the checkpoint's own video encoder, channels normalised to length 1 in each cell"
)
FRECHET = (
    "the checkpoint's own video encoder: of each latent channel the mean over a clip's cells, "
    "and the mean absolute change from one latent frame to the next"
)
_CHUNK = 16  # clips of 64×64 encoded at once


def levels(encoder: Encoder, video_BTHWC: Tensor) -> list[Tensor]:
    """The outputs (B, T, H, W, C) of the encoder's residual blocks, from fine to coarse."""
    found: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _block, _given, out: found.append(out))
        for block in encoder.levels
        if isinstance(block, ResidualBlock)
    ]
    try:
        encoder(video_BTHWC)
    finally:
        for hook in hooks:
            hook.remove()
    return found


@torch.inference_mode()
def perceptual_distance(encoder: Encoder, one_BTHWC: Tensor, other_BTHWC: Tensor) -> Tensor:
    """(B,) LPIPS (Zhang et al. 2018) with these features and equal weights; 0 is equal, 4 the most.

    Squared distance of the normalised features, mean over cells, then over levels.
    """
    distances = []
    for one, other in zip(levels(encoder, one_BTHWC), levels(encoder, other_BTHWC), strict=True):
        apart = F.normalize(one, dim=-1) - F.normalize(other, dim=-1)
        distances.append(apart.square().sum(dim=-1).mean(dim=(1, 2, 3)))
    return torch.stack(distances).mean(dim=0)


@torch.inference_mode()
def clip_features(encoder: Encoder, video_BTHWC: Tensor) -> Tensor:
    """(B, 2C), one row a clip: `FRECHET`."""
    rows = []
    for start in range(0, len(video_BTHWC), _CHUNK):
        z_BTHWC = encoder(video_BTHWC[start : start + _CHUNK])
        content = z_BTHWC.mean(dim=(1, 2, 3))
        change = z_BTHWC.diff(dim=1).abs().mean(dim=(1, 2, 3))
        rows.append(torch.cat([content, change], dim=-1))
    return torch.cat(rows)
