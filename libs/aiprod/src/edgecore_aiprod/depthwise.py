"""A depthwise 3×3×3 convolution whose gradient takes as long as the convolution itself.

It stays in float32 under autocast: on a CPU it is slower in bfloat16.

torch takes the gradient of its input by a general kernel, on a CPU 24 times slower than the convolution
(11.8 ms beside 0.5 for 32 of nano's latents on two cores). It is itself a depthwise convolution, with the
kernel turned around, and so it is made here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv3d_weight


class DepthwiseConv3d(nn.Conv3d):
    """(B, C, T, H, W) → the same shape; each channel by a kernel of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        device = x_BCTHW.device.type
        if not torch.is_grad_enabled() and not torch.is_autocast_enabled(device):
            return super().forward(x_BCTHW)  # what follows shows in a small pass
        with torch.autocast(device, enabled=False):
            y_BCTHW: Tensor = _Depthwise.apply(  # type: ignore[no-untyped-call]
                x_BCTHW.float(), self.weight, self.bias
            )
        return y_BCTHW


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCTHW: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x_BCTHW, weight)
        return F.conv3d(x_BCTHW, weight, bias, padding=1, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BCTHW: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x_BCTHW, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        kernels = len(weight)
        grad_x = grad_weight = grad_bias = None
        if to_x:
            grad_x = F.conv3d(grad_BCTHW, weight.flip(2, 3, 4), padding=1, groups=kernels)
        if to_weight:
            grad_weight = conv3d_weight(  # type: ignore[no-untyped-call]
                x_BCTHW, weight.shape, grad_BCTHW, padding=1, groups=kernels
            )
        if to_bias:
            grad_bias = grad_BCTHW.sum((0, 2, 3, 4))
        return grad_x, grad_weight, grad_bias
