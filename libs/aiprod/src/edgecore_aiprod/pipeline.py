"""Prompt in, clip out: text → sample (→ upscale) → decode, stoppable between steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecore_aiprod.checkpoint import load_model, save_model
from edgecore_aiprod.conditioning import conditioned, opening_latent
from edgecore_aiprod.errors import Cancelled, InvalidRequest
from edgecore_aiprod.flow import CHURN, Step, latent_shape, opened, sample, schedule
from edgecore_aiprod.lora import attach, checked_name, detach, read_adapter, set_scales
from edgecore_aiprod.model import Model, networks
from edgecore_aiprod.pixels import to_frames
from edgecore_aiprod.rules import (
    DISTILLED_STEPS,
    MODEL_RULES,
    NANO_RULES,
    VARIANTS,
    GenerationRequest,
    ModelRules,
    Variant,
    check_request,
)


@dataclass(frozen=True)
class StepReport:
    """Said after the text is read (step 0), after each sampling step (1-based), when the latent is upscaled,
    and when decoding is done.
    """

    step: int  # steps done
    steps: int
    stage: str  # "text", "sample", "upscale" or "decode"
    latent_x0: Tensor | None = None  # (1, T, H, W, 256), the clean clip as the network sees it so far


@dataclass
class _Progress:
    """Tells the caller how far a clip is, and asks whether to go on."""

    steps: int
    on_step: Callable[[StepReport], None] | None
    should_stop: Callable[[], bool] | None
    done: int = 0

    def say(self, stage: str, latent_x0: Tensor | None = None) -> None:
        if self.on_step is not None:
            self.on_step(StepReport(self.done, self.steps, stage, latent_x0))

    def ask(self) -> None:
        """Raises Cancelled."""
        if self.should_stop is not None and self.should_stop():
            raise Cancelled(self.done)

    def through(self, states: Iterator[Step], stage: str, start_BTHWC: Tensor) -> Tensor:
        """The last state, `start_BTHWC` if there is no step; each is told, and asked after."""
        latent = start_BTHWC
        for state in states:
            self.done += 1
            latent = state.x_BTHWC
            self.say(stage, state.x0_BTHWC)
            self.ask()
        return latent


def shipped_checkpoint() -> Path:
    """The folder of the trained nano checkpoint in this package."""
    return Path(str(resources.files("edgecore_aiprod").joinpath("checkpoints/nano")))


class AiprodPipeline:
    """Not for several threads at once; make one a thread."""

    def __init__(self, model: Model, device: str = "cpu") -> None:
        self.model, self.device = model, torch.device(device)
        for part in networks(model):
            getattr(model, part).to(self.device)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None, device: str = "cpu") -> AiprodPipeline:
        """Load a checkpoint folder, the shipped one if none is named. Raises CheckpointError; uses no
        network.
        """
        return cls(load_model(Path(path) if path is not None else shipped_checkpoint()), device)

    def save_pretrained(self, path: str | Path) -> None:
        """Write a release folder, see `checkpoint.save_model`; attached adapters are no part of it."""
        save_model(self.model, Path(path))

    @property
    def rules(self) -> ModelRules:
        return MODEL_RULES.get(self.model.params.name, NANO_RULES)

    def load_adapter(self, path: str | Path, name: str | None = None) -> str:
        """Attach an adapter file at scale 1, as `name` or by its own; returns which.

        Raises CheckpointError on a file that does not fit this model, InvalidRequest on a name that is taken
        or is none.
        """
        adapter = read_adapter(Path(path), self.model)
        adapter = adapter if name is None else replace(adapter, name=checked_name(name))
        if self.model.distilled is not None and adapter.name == self.model.distilled.name:
            raise InvalidRequest("name", "one that is not taken", adapter.name)
        attach(self.model, adapter)
        return adapter.name

    def set_adapters(self, scales: Mapping[str, float]) -> None:
        """Scales by name of those loaded, 0 for all others; at once, without a file being read. Raises
        InvalidRequest.
        """
        set_scales(self.model, scales)

    def unload_adapter(self, name: str) -> None:
        """Raises InvalidRequest on a name that is not loaded."""
        detach(self.model, name)

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
        self._check_parts(request)
        distilled = request.variant == "distilled"
        steps = min(request.steps, DISTILLED_STEPS) if distilled else request.steps
        guidance = 1.0 if distilled else request.guidance
        progress = _Progress(steps, on_step, should_stop)
        progress.ask()
        with self._weights_of(request.variant):
            denoise = conditioned(self.model, request, guidance, self.device)
            progress.say("text")
            # On the CPU: a seed means the same on every device.
            generator = torch.Generator().manual_seed(request.seed)
            shape = latent_shape(
                1, request.frames, request.height, request.width, self.model.params.vae.latent
            )
            noise = torch.randn(shape, generator=generator).to(self.device)
            opening = opening_latent(self.model, request, 1, self.device)
            progress.ask()
            latent = progress.through(
                sample(denoise, noise, schedule(steps), CHURN, generator, opening), "sample", noise
            )
            if request.upscale:
                latent = self._upscaled(latent, request, progress)
        video = to_frames(self.model.vae.decode(latent)[0])
        progress.say("decode")
        return video

    def _upscaled(self, latent_BTHWC: Tensor, request: GenerationRequest, progress: _Progress) -> Tensor:
        """Twice the height and width."""
        assert self.model.upsampler is not None  # checked with the request
        opening = opening_latent(self.model, request, 2, self.device)
        latent = opened(self.model.upsampler(latent_BTHWC), opening)
        progress.say("upscale", latent)
        progress.ask()
        return latent

    def preview(self, latent_x0: Tensor) -> NDArray[np.uint8]:
        """Decode a report's clean estimate: (frames, height, width, 3)."""
        with torch.inference_mode():
            return to_frames(self.model.vae.decode(latent_x0)[0])

    def _check_parts(self, request: GenerationRequest) -> None:
        """Raises InvalidRequest on what this checkpoint has no weights for."""
        if request.upscale and self.model.upsampler is None:
            raise InvalidRequest("upscale", "false: this checkpoint has no upsampler", True, False)
        if request.variant == "distilled" and self.model.distilled is None:
            rule = f"{VARIANTS[0]}: this checkpoint has no distilled variant"
            raise InvalidRequest("variant", rule, request.variant, VARIANTS[0])

    @contextmanager
    def _weights_of(self, variant: Variant) -> Iterator[None]:
        adapter = self.model.distilled
        if variant == "standard" or adapter is None:
            yield
            return
        attach(self.model, adapter)
        try:
            yield
        finally:
            detach(self.model, adapter.name)
