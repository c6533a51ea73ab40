"""What a request tells the backbone beside the noise: words, a first frame, a motion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from edgecore_aiprod.flow import Denoiser, blended, guided, latent_shape
from edgecore_aiprod.image_file import fit_image
from edgecore_aiprod.model import Model
from edgecore_aiprod.motion import motion_field, motion_hints, opening_hints
from edgecore_aiprod.pixels import to_pixels
from edgecore_aiprod.rules import GenerationRequest


def opening_latent(
    model: Model, request: GenerationRequest, scale: int, device: torch.device
) -> Tensor | None:
    """The request's picture as the clip's first latent frame (1, 1, h, w, C) at `scale` times the request's
    sides; None without a picture.
    """
    if request.image is None:
        return None
    fitted_HWC = fit_image(request.image, scale * request.width, scale * request.height)
    return model.vae.encode(to_pixels(fitted_HWC).to(device)[None, None])


def bound(backbone: nn.Module, text_BRE: Tensor, hints_BTHW4: Tensor | None = None) -> Denoiser:
    """The backbone with all but the noise given."""

    def denoise(x_BTHWC: Tensor, t_B: Tensor) -> Tensor:
        x0_BTHWC: Tensor = backbone(x_BTHWC, t_B, text_BRE, hints_BTHW4)
        return x0_BTHWC

    return denoise


def conditioned(model: Model, request: GenerationRequest, guidance: float, device: torch.device) -> Denoiser:
    """The backbone bound to the request, guided away from its negative prompt.

    The motion is asked for on one side of the guidance only, so that guidance makes it count for more; a
    first frame, which is there in any case, is known on both.
    """
    _, frames, height, width, _ = latent_shape(
        1, request.frames, request.height, request.width, model.params.vae.latent
    )
    opened = None if request.image is None else opening_hints(1, frames, height, width).to(device)

    asked_BRE = model.text.encode([request.prompt])
    asked = bound(model.backbone, asked_BRE, opened)
    if request.motion is not None and request.motion_strength > 0.0:
        motion = torch.from_numpy(np.array(request.motion, np.float32))
        field = motion_field(motion, request.frames, request.height, request.width)
        moved = motion_hints(field, height, width)[None].to(device)
        steered = bound(model.backbone, asked_BRE, moved if opened is None else moved + opened)
        asked = blended(asked, steered, request.motion_strength)
    avoided = bound(model.backbone, model.text.encode([request.negative_prompt]), opened)
    return guided(asked, avoided, guidance)
