"""A release folder turned back into runs, so that a lesson can go on from it or build on it.

What a release lacks is made anew: the optimiser starts fresh, and the text lesson's prototypes are where the
encoder now puts English captions, and the empty one.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgecore_aiprod.captions import Caption, caption
from edgecore_aiprod.checkpoint import load_model
from edgecore_aiprod.errors import TrainingError
from edgecore_aiprod.model import Model
from edgecore_aiprod.presets import TextParams
from edgecore_aiprod.text import TextEncoder
from edgecore_aiprod.training.plots import LOG
from edgecore_aiprod.training.state import Facts, write_state
from edgecore_aiprod.training.text import Reader, said
from edgecore_aiprod.world import sample_scene

_CAPTIONS = 4096  # that the prototypes are the means of


def restore(folder: Path, runs: Path) -> list[str]:
    """Write the state of every network of the release as a run of step 0; returns the lessons.

    Raises CheckpointError on a release that cannot be loaded, TrainingError on a run that is there already.
    """
    model = load_model(folder)
    networks: dict[str, nn.Module] = {"vae": model.vae, "text": _reader(model), "backbone": model.backbone}
    if model.upsampler is not None:
        networks["upsampler"] = model.upsampler
    for lesson in networks:
        if (runs / lesson).exists():
            raise TrainingError(str(runs / lesson), "is there already; a restored run starts in a new folder")
    for lesson, network in networks.items():
        _write(runs / lesson, model, lesson, network)
    return list(networks)


def _write(run: Path, model: Model, lesson: str, network: nn.Module) -> None:
    run.mkdir(parents=True)
    weights = network.state_dict()
    state = {"model": weights, "ema": weights, "optimiser": None, "step": 0}
    nothing_past = {"preset": model.params.name, "seed": 0, "phases": []}
    write_state(run, state, Facts(0, "", 0.0, "", nothing_past, torch.__version__))
    told = model.training.get(lesson, {})
    (run / LOG).write_text(json.dumps({"step": 0, "loss": 0.0} | dict(told)) + "\n", encoding="utf-8")


@torch.no_grad()
def _reader(model: Model) -> Reader:
    """The text encoder with prototypes: of each topic and name the mean register."""
    if not isinstance(model.params.text, TextParams) or not isinstance(model.text, TextEncoder):
        raise TrainingError(model.params.name, "has a text encoder that no lesson trains")
    reader = Reader(model.params.text)
    reader.encoder.load_state_dict(model.text.state_dict())
    rng = np.random.default_rng(0)
    told = [caption(sample_scene(rng), rng, 0.0) for _ in range(_CAPTIONS)] + [Caption("")]
    register_BRE = reader.encoder.encode([one.text for one in told])
    name_BQ = torch.tensor([said(one) for one in told])
    for topic, prototype_NE in enumerate(reader.prototypes):
        for name in range(len(prototype_NE)):
            prototype_NE[name] = register_BRE[name_BQ[:, topic] == name, topic].mean(dim=0)
    return reader
