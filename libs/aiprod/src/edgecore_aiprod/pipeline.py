"""Prompt in, clip out: text → sample → decode, stoppable between steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecore_aiprod.checkpoint import Model, load_model
from edgecore_aiprod.errors import Cancelled
from edgecore_aiprod.flow import Denoiser, guided, latent_shape, sample
from edgecore_aiprod.rules import MODEL_RULES, NANO_RULES, GenerationRequest, ModelRules, check_request


@dataclass(frozen=True)
class StepReport:
    """Said after the text is read (step 0), after each sampling step (1-based) and when decoding is done."""

    step: int
    steps: int
    stage: str  # "text", "sample" or "decode"
    latent_x0: Tensor | None = None  # (1, T, H, W, 256), the clean clip as the network sees it so far


def shipped_checkpoint() -> Path:
    """The folder of the trained nano checkpoint in this package."""
    return Path(str(resources.files("edgecore_aiprod").joinpath("checkpoints/nano")))


class AiprodPipeline:
    """Not for several threads at once; make one a thread."""

    def __init__(self, model: Model, device: str = "cpu") -> None:
        self.model, self.device = model, torch.device(device)
        for part in (model.vae, model.text, model.backbone):
            part.to(self.device)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None, device: str = "cpu") -> AiprodPipeline:
        """Load a checkpoint folder, the shipped one if none is named. Raises CheckpointError; uses no
        network.
        """
        return cls(load_model(Path(path) if path is not None else shipped_checkpoint()), device)

    @property
    def rules(self) -> ModelRules:
        return MODEL_RULES.get(self.model.params.name, NANO_RULES)

    @torch.inference_mode()
    def __call__(
        self,
        request: GenerationRequest,
        on_step: Callable[[StepReport], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> NDArray[np.uint8]:
        """The clip as uint8 RGB (frames, height, width, 3); the same request makes the same clip.

        `should_stop` is asked before every step and before decoding. Raises InvalidRequest and Cancelled.
        """
        check_request(request, self.rules)

        def report(step: int, stage: str, latent_x0: Tensor | None = None) -> None:
            if on_step is not None:
                on_step(StepReport(step, request.steps, stage, latent_x0))

        def stop_if_asked(step: int) -> None:
            if should_stop is not None and should_stop():
                raise Cancelled(step)

        stop_if_asked(0)
        denoise = self._conditioned(request)
        report(0, "text")
        generator = torch.Generator().manual_seed(
            request.seed
        )  # on the CPU: a seed means the same on every device
        shape = latent_shape(1, request.frames, request.height, request.width, self.model.params.vae.latent)
        noise = torch.randn(shape, generator=generator).to(self.device)
        stop_if_asked(0)
        latent = noise
        for step, state in enumerate(sample(denoise, noise, request.steps, generator=generator), start=1):
            latent = state.x_BTHWC
            report(step, "sample", state.x0_BTHWC)
            stop_if_asked(step)
        video = self.to_frames(self.model.vae.decode(latent))
        report(request.steps, "decode")
        return video

    def preview(self, latent_x0: Tensor) -> NDArray[np.uint8]:
        """Decode a report's clean estimate: (frames, height, width, 3)."""
        with torch.inference_mode():
            return self.to_frames(self.model.vae.decode(latent_x0))

    @staticmethod
    def to_frames(video_BTHWC: Tensor) -> NDArray[np.uint8]:
        pixels = (video_BTHWC[0].clamp(-1.0, 1.0) + 1.0) * 127.5
        frames: NDArray[np.uint8] = pixels.round().to(torch.uint8).cpu().numpy()
        return frames

    def _conditioned(self, request: GenerationRequest) -> Denoiser:
        """The backbone bound to the prompt, guided away from the negative prompt."""

        def conditioned_on(prompt: str) -> Denoiser:
            text_BLE, mask_BL = self.model.text.encode([prompt])

            def denoise(x_BTHWC: Tensor, t_B: Tensor) -> Tensor:
                x0_BTHWC: Tensor = self.model.backbone(x_BTHWC, t_B, text_BLE, mask_BL)
                return x0_BTHWC

            return denoise

        asked, avoided = conditioned_on(request.prompt), conditioned_on(request.negative_prompt)
        return guided(asked, avoided, request.guidance)
