"""The video autoencoder: 16× smaller in space, 4× in time, 256 channels, causal in time.

Time is causal: frame 0 is encoded alone, then every four frames share one latent, so frames = 4k+1 and
latents = k+1.

Every latent channel is whitened (zero mean, unit variance over the data, by a batch normalisation without
affine part, as FLUX.2's autoencoder does) and training adds Gaussian noise of up to `noise` to it before
decoding: the posterior has a fixed variance, so the KL term is a constant and only the noise remains. It
makes the code redundant, which is what forgives a sampler its small errors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgecore_aiprod.presets import SPATIAL, TEMPORAL, VaeParams
from edgecore_aiprod.shapes import check_shape
from edgecore_aiprod.tiles import decode_tiles, decoder_reach
from edgecore_aiprod.video_layers import (
    Down,
    ResidualBlock,
    SpatialConv,
    TemporalAttention,
    Up,
    fold_patches,
    unfold_patches,
    zero,
)


def opponent_basis() -> Tensor:
    """(3, 3) orthonormal: light, red against blue, green against magenta; the two of hue are given twice the
    weight.

    A deep network learns the strongest directions of its data first, and in RGB that is light alone: hue came
    thousands of steps later.
    """
    basis = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    return F.normalize(basis, dim=1) * torch.tensor([[1.0], [2.0], [2.0]])


class Sharpener(nn.Module):
    """Two convolutions on single pixels, added to the picture that comes from patches.

    An edge within a patch is a step of its place, which is far from linear in the patch's features; a patch
    alone makes it soft.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.mix = SpatialConv(3 + features, 2 * features)
        self.out = nn.Linear(2 * features, 3)
        zero(self.out)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        """(…, 3 + features) → (…, 3)."""
        y_BTHWC: Tensor = x_BTHWC[..., :3] + self.out(F.silu(self.mix(F.silu(x_BTHWC))))
        return y_BTHWC


class Encoder(nn.Module):
    def __init__(self, params: VaeParams) -> None:
        super().__init__()
        first, second, third = params.encoder
        self.patch = params.patch
        self.inlet = SpatialConv(3 * params.patch**2, first)
        self.levels = nn.ModuleList()
        for channels, below in ((first, second), (second, third)):
            self.levels.extend(ResidualBlock(channels) for _ in range(params.encoder_depth))
            self.levels.append(Down(channels, below))
        self.levels.extend(ResidualBlock(third) for _ in range(params.encoder_depth))
        self.levels.append(TemporalAttention(third, params.heads))
        self.outlet = nn.Linear(third, params.latent)
        self.whiten = nn.BatchNorm1d(params.latent, affine=False, momentum=0.02)

    def forward(self, video_BTHWC: Tensor) -> Tensor:
        x = self.inlet(fold_patches(video_BTHWC @ opponent_basis().T.to(video_BTHWC.device), self.patch))
        for level in self.levels:
            x = level(x)
        z_BTHWC = self.outlet(x).float()
        whitened: Tensor = self.whiten(z_BTHWC.flatten(0, 3)).view_as(z_BTHWC)
        return whitened


class Decoder(nn.Module):
    def __init__(self, params: VaeParams) -> None:
        super().__init__()
        first, second, third = params.decoder
        self.patch = params.patch
        self.inlet = nn.Linear(params.latent, third)
        self.levels = nn.ModuleList([TemporalAttention(third, params.heads)])
        for channels, above in ((third, second), (second, first)):
            self.levels.extend(ResidualBlock(channels) for _ in range(params.decoder_depth))
            self.levels.append(Up(channels, above))
        self.levels.extend(ResidualBlock(first) for _ in range(params.decoder_depth))
        self.outlet = SpatialConv(first, (3 + params.sharpen) * params.patch**2)
        self.sharpener = Sharpener(params.sharpen)

    def forward(self, z_BTHWC: Tensor) -> Tensor:
        x = self.inlet(z_BTHWC)
        for level in self.levels:
            x = level(x)
        picture_BTHWC: Tensor = self.sharpener(unfold_patches(self.outlet(x), self.patch))
        return picture_BTHWC.float() @ opponent_basis().to(z_BTHWC.device)


class VideoVae(nn.Module):
    """Pixels are RGB in [-1, 1], (B, 4k+1, 16h, 16w, 3); latents are (B, k+1, h, w, 256), whitened."""

    def __init__(self, params: VaeParams) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(params), Decoder(params)
        self.reach = decoder_reach(params)

    def encode(self, video_BTHWC: Tensor) -> Tensor:
        """Raises ValueError on a size the grid does not fit."""
        check_shape("video_BTHWC", video_BTHWC, B=None, T=None, H=None, W=None, C=3)
        _, frames, height, width, _ = video_BTHWC.shape
        if (frames - 1) % TEMPORAL or height % SPATIAL or width % SPATIAL:
            raise ValueError(f"frames must be 4k+1 and sides multiples of 16, not {frames}×{height}×{width}")
        z_BTHWC: Tensor = self.encoder(video_BTHWC)
        return z_BTHWC

    def decode(self, z_BTHWC: Tensor) -> Tensor:
        """Raises ValueError on a shape that is no latent's."""
        check_shape("z_BTHWC", z_BTHWC, B=None, T=None, H=None, W=None, C=self.decoder.inlet.in_features)
        return decode_tiles(self.decoder, z_BTHWC, self.reach)

    def forward(
        self, video_BTHWC: Tensor, noise_B: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Reconstruct; `noise_B` is the standard deviation added to each clip's latent."""
        z = self.encode(video_BTHWC)
        if noise_B is not None:
            z = z + noise_B[:, None, None, None, None] * torch.randn(z.shape, generator=generator)
        return self.decode(z)


def reconstruction_loss(made_BTHWC: Tensor, true_BTHWC: Tensor, sharpness: float = 1.0) -> Tensor:
    """Squared error, and times `sharpness` the absolute error of pixels and of differences between
    neighbours.

    The absolute terms keep edges sharp but are content with a clip without its object, where training stayed
    when it began with them; so they are let in late.
    """
    error = made_BTHWC - true_BTHWC
    down = (error[:, :, 1:] - error[:, :, :-1]).abs().mean()
    across = (error[:, :, :, 1:] - error[:, :, :, :-1]).abs().mean()
    return 4.0 * error.square().mean() + 0.5 * sharpness * (error.abs().mean() + down + across)
