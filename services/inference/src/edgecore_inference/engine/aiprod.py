"""The aiprod backend: libs/aiprod behind the engine's idea of a model."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from edgecore_inference.domain.engine_messages import Generate
from edgecore_inference.engine.adapters import AdapterRack
from edgecore_inference.engine.loop import CheckpointUnusable, GenerationStopped, OnStep, RequestRefused
from edgecore_inference.engine.previews import Look
from edgecore_inference.media.frames import Video

if TYPE_CHECKING:
    from torch import Tensor

    from edgecore_aiprod import AiprodPipeline, GenerationRequest, StepReport
    from edgecore_aiprod.rules import Variant


class AiprodModel:
    """A pipeline on the CPU."""

    device = "cpu"

    def __init__(self, pipeline: "AiprodPipeline") -> None:
        self._pipeline = pipeline
        self._adapters = AdapterRack(pipeline)
        self.name = f"aiprod-{pipeline.model.params.name}"
        self.memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    @classmethod
    def load(cls, checkpoint: str, threads: int) -> "AiprodModel":
        """Load a folder, or the shipped nano for an empty name. Raises CheckpointUnusable."""
        # Imported here, after the channel has taken standard output: it brings torch, and takes seconds.
        import torch

        from edgecore_aiprod import AiprodPipeline, CheckpointError

        torch.set_num_threads(threads)
        try:
            return cls(AiprodPipeline.from_pretrained(checkpoint or None, device=cls.device))
        except CheckpointError as error:
            raise CheckpointUnusable(str(error)) from error

    def generate(self, request: Generate, on_step: OnStep, should_stop: Callable[[], bool]) -> Video:
        """As loop.Model says."""
        from edgecore_aiprod import Cancelled, InvalidRequest

        def report(step: "StepReport") -> None:
            latent = step.latent_x0
            if latent is None:
                on_step(step.stage, step.step, step.steps)
            else:
                on_step(step.stage, step.step, step.steps, lambda number: self._look(latent, number))

        try:
            asked = _request(request)
            self._adapters.apply(request.adapters)
            return self._pipeline(asked, on_step=report, should_stop=should_stop)
        except InvalidRequest as error:
            raise RequestRefused(str(error)) from error
        except Cancelled as error:
            raise GenerationStopped from error

    def tokens(self, request: Generate) -> int:
        """As loop.Model says."""
        from edgecore_aiprod.flow import latent_shape

        _, frames, height, width, _ = latent_shape(
            1, request.frames, request.height, request.width, self._pipeline.model.params.vae.latent
        )
        return frames * height * width

    def _look(self, latent_BTHWC: "Tensor", number: int) -> Look:
        """Decode one latent with the one before it, and take the last picture.

        Time is causal in the decoder, so what comes after is not needed; what lies further back adds little:
        for nano at 64×64 the picture is then off by 3 % of the range of luma at 0.4 of a whole decode's time.
        """
        from edgecore_aiprod.presets import TEMPORAL

        latents = latent_BTHWC.shape[1]
        at = number % latents
        pictures = self._pipeline.preview(latent_BTHWC[:, max(0, at - 1) : at + 1])
        return Look(TEMPORAL * at, TEMPORAL * (latents - 1) + 1, pictures[-1])


def _request(asked: Generate) -> "GenerationRequest":
    """As the library has it. Raises InvalidRequest for a picture that is none."""
    from edgecore_aiprod import GenerationRequest
    from edgecore_aiprod.image_file import read_image

    return GenerationRequest(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        width=asked.width,
        height=asked.height,
        frames=asked.frames,
        steps=asked.steps,
        guidance=asked.guidance,
        seed=asked.seed,
        image=read_image(Path(asked.image)) if asked.image else None,
        motion=None if asked.motion is None else np.array(asked.motion, np.float64),
        motion_strength=asked.motion_strength,
        variant=cast("Variant", asked.variant),
        upscale=asked.upscale,
    )
