"""A depthwise 3×3×3 convolution whose gradient takes as long as the convolution itself.

On a CPU it stays in float32 under autocast: it is slower in bfloat16.

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
        if not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
            return super().forward(x_BCTHW)  # in a small pass an autograd function shows
        y_BCTHW: Tensor = _Depthwise.apply(x_BCTHW, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return y_BCTHW


class _Depthwise(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x_BCTHW: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x_BCTHW, weight)
        return F.conv3d(x_BCTHW, weight, bias, padding=1, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
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
