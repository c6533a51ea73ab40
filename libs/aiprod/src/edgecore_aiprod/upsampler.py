"""The latent upsampler: a clip's latent at twice the height and width, for the second stage.

As LTX-2's second stage begins: residual convolutions around a pixel-shuffle. What they make is added to the
latent with every cell repeated, and is zero at first.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgecore_aiprod.presets import UpsamplerParams
from edgecore_aiprod.video_layers import ResidualBlock, SpatialConv, unfold_patches


class LatentUpsampler(nn.Module):
    def __init__(self, params: UpsamplerParams, latent: int) -> None:
        super().__init__()
        width = params.width
        self.inlet = nn.Linear(latent, width)
        self.low = nn.ModuleList(ResidualBlock(width) for _ in range(params.low))
        self.shuffle = nn.Linear(width, 4 * width)
        self.high = nn.ModuleList(ResidualBlock(width) for _ in range(params.high))
        self.outlet = SpatialConv(width, latent)
        nn.init.zeros_(self.outlet.conv.weight)
        if self.outlet.conv.bias is not None:
            nn.init.zeros_(self.outlet.conv.bias)

    def forward(self, z_BTHWC: Tensor) -> Tensor:
        """(B, T, H, W, C) → (B, T, 2H, 2W, C), whitened as the autoencoder's latents are."""
        x = self.inlet(z_BTHWC)
        for block in self.low:
            x = block(x)
        x = unfold_patches(self.shuffle(x), 2)
        for block in self.high:
            x = block(x)
        repeated_BTHWC = z_BTHWC.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        y_BTHWC: Tensor = repeated_BTHWC + self.outlet(x).float()
        return y_BTHWC
