"""The video autoencoder: 16× smaller in space, 4× in time, 256 channels, causal in time.

Layout is channels-last throughout (x_BTHWC), so that a spatial convolution is a channels-last 2D one and a
temporal one is a linear map over three neighbouring frames: on a CPU both run at matrix-product speed. A
residual block is the factorised 3D convolution of R(2+1)D (Tran et al. 2018). Time is causal: frame 0 is
encoded alone, then every four frames share one latent, so frames = 4k+1 and latents = k+1.

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
        video_BTHWC: Tensor = self.decoder(z_BTHWC)
        return video_BTHWC

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
