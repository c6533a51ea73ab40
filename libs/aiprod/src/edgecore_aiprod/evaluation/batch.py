"""Many clips at once, each the one that the public pipeline makes for the same request.

A network this small is fed badly by one clip: eight together take about seven tenths of the time. Every clip
keeps a generator of its own, so its noise does not depend on its neighbours; what remains is the rounding of
matrix products of another size, here and there one grey level of 255.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from edgecore_aiprod.conditioning import bound
from edgecore_aiprod.flow import draw_noise, guided, latent_shape, sample, schedule
from edgecore_aiprod.pipeline import AiprodPipeline
from edgecore_aiprod.pixels import to_frames
from edgecore_aiprod.rules import GenerationRequest, check_request

BATCH = 8  # clips


def generate_many(
    pipeline: AiprodPipeline, requests: Iterable[GenerationRequest], batch: int = BATCH
) -> Iterator[NDArray[np.uint8]]:
    """The clips (frames, height, width, 3), in order. Raises InvalidRequest as the pipeline does.

    Neighbours that differ in prompt and seed only, and ask for nothing but text, are made together; all
    others one by one, by the pipeline.
    """
    rest = iter(requests)
    while group := list(islice(rest, batch)):
        if all(_alike(request, group[0]) for request in group):
            yield from _generate(pipeline, group)
        else:
            yield from map(pipeline, group)


def _alike(request: GenerationRequest, first: GenerationRequest) -> bool:
    text_alone = replace(first, image=None, motion=None, variant="standard", upscale=False)
    return replace(request, prompt=first.prompt, seed=first.seed) == text_alone


@torch.inference_mode()
def _generate(pipeline: AiprodPipeline, requests: Sequence[GenerationRequest]) -> list[NDArray[np.uint8]]:
    first = requests[0]
    for request in requests:
        check_request(request, pipeline.rules)
    model = pipeline.model
    generators = [torch.Generator().manual_seed(request.seed) for request in requests]
    shape = latent_shape(len(requests), first.frames, first.height, first.width, model.params.vae.latent)
    asked_BRE = model.text.encode([request.prompt for request in requests])
    avoided_BRE = model.text.encode([first.negative_prompt] * len(requests))
    denoise = guided(bound(model.backbone, asked_BRE), bound(model.backbone, avoided_BRE), first.guidance)
    noise = draw_noise(shape, generators).to(pipeline.device)
    *_, last = sample(denoise, noise, schedule(first.steps), generator=generators)
    return [to_frames(model.vae.decode(latent[None])[0]) for latent in last.x_BTHWC]
