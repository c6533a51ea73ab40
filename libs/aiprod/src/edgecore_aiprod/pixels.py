"""Pixels outside the model and inside: uint8 RGB frames, and floats in [-1, 1]."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_pixels(frames: NDArray[np.uint8]) -> Tensor:
    """uint8 frames of any shape (…, 3) → float in [-1, 1], on the default device."""
    return torch.from_numpy(frames).to(torch.get_default_device()).float() / 127.5 - 1.0


def to_frames(video: Tensor) -> NDArray[np.uint8]:
    """The inverse; what lies outside of [-1, 1] is cut off."""
    pixels = (video.clamp(-1.0, 1.0) + 1.0) * 127.5
    frames: NDArray[np.uint8] = pixels.round().to(torch.uint8).cpu().numpy()
    return frames
