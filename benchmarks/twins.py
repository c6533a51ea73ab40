"""Training the nano backbone and its attention-only twin side by side, and what each has learned."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.progress import track

from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_aiprod.backbone import Backbone
from edgecore_aiprod.evaluation.attributes import summary
from edgecore_aiprod.evaluation.trials import batched_trials, prompts
from edgecore_aiprod.training.backbone import BackboneLesson
from edgecore_aiprod.training.config import TrainConfig, read_config
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.training.loop import Trainer
from edgecore_aiprod.twin import attention_twin

FASTER = 1.2
"""What the hybrid is asked to be."""
RATIO = "beside: the attention-only twin; a ratio of speed is the twin's time over the hybrid's"
_FRESH = 16  # batches that the loss is measured on, of draws that no step had


@dataclass(frozen=True)
class Side:
    """One backbone after its training."""

    backbone: Backbone  # the averaged weights
    steps: int
    loss: float  # of the averaged weights, on the last phase's recipe
    step_ms: float  # milliseconds of a training step, median


def train(pipeline: AiprodPipeline, config: Path, steps: int, bank: int) -> tuple[Side, Side]:
    """The checkpoint's own architecture and its twin, `steps` each, in turn. Raises ValueError on a bad config."""
    recipe = replace(read_config(config, steps=steps), clips=bank)
    params = pipeline.model.params
    twin = attention_twin(params.backbone, params.vae.latent, params.text.out)
    with TemporaryDirectory() as folder:
        runs = Path(folder)
        _lay_out(pipeline, runs)
        trainers = [
            Trainer(BackboneLesson(recipe, runs, one), recipe, runs / name)
            for name, one in (("hybrid", params.backbone), ("twin", twin))
        ]
        seconds: list[list[float]] = [[], []]
        for _ in track(range(recipe.steps), "training steps, both sides"):
            for trainer, spent in zip(trainers, seconds, strict=True):
                started = time.perf_counter()
                trainer.advance()
                spent.append(time.perf_counter() - started)
        hybrid, other = (_side(one, recipe, spent) for one, spent in zip(trainers, seconds, strict=True))
    return hybrid, other


def _lay_out(pipeline: AiprodPipeline, runs: Path) -> None:
    """The checkpoint's autoencoder and text encoder as finished runs, for the backbone's lesson to find."""
    text = {f"encoder.{name}": weight for name, weight in pipeline.model.text.state_dict().items()}
    for name, weights in (("vae", pipeline.model.vae.state_dict()), ("text", text)):
        (runs / name).mkdir()
        torch.save({"ema": weights}, runs / name / "state.pt")


def _side(trainer: Trainer, config: TrainConfig, seconds: list[float]) -> Side:
    backbone = trainer.ema
    lesson = trainer.lesson
    assert isinstance(backbone, Backbone)
    assert isinstance(lesson, BackboneLesson)
    lesson.model = backbone
    losses = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        for index in range(_FRESH):
            loss, _ = lesson.loss(Dice.of(config.seed, config.steps + index, 1), config.phases[-1], index)
            losses.append(float(loss))
    return Side(backbone, config.steps, float(np.mean(losses)), 1000 * float(np.median(seconds)))


def evaluate(pipeline: AiprodPipeline, side: Side, clips: int, seed: int) -> dict[str, float]:
    """Shares of unseen English prompts shown right, both sides with the same noise."""
    model = pipeline.model
    params = replace(model.params, backbone=side.backbone.params)
    judged = AiprodPipeline(replace(model, params=params, backbone=side.backbone))
    asked = list(prompts(clips, seed))
    return summary(list(track(batched_trials(judged, asked, seed, GenerationRequest("")), "clips", clips)))
