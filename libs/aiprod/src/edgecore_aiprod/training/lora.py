"""The lesson of an adapter: a folder of clips teaches a finished model something new.

Only the adapter's weights train. A share of every batch is clips of the synthetic world, told and hinted at
as in the backbone's lesson, of which the model must say what it said without the adapter.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgecore_aiprod.adapter import Adapter, LowRank
from edgecore_aiprod.checkpoint import load_model
from edgecore_aiprod.errors import TrainingError
from edgecore_aiprod.flow import velocity_loss
from edgecore_aiprod.lora import attach, new_adapter, set_scales
from edgecore_aiprod.pipeline import shipped_checkpoint
from edgecore_aiprod.training.backbone import draw_captioned, draw_condition, flow_loss, noised
from edgecore_aiprod.training.bank import Bank
from edgecore_aiprod.training.config import Recipe, TrainConfig
from edgecore_aiprod.training.folder import FolderBank
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.training.state import STATE, read_state

_WORLD = (17, 64)  # frames and side of the synthetic clips
_SIDES = ("down", "up")


class AdapterWeights(nn.Module):
    """An adapter's weights as parameters named after their layers, `backbone/inlet/down`; its state says what
    else there is to know, so that a run's state is enough to make the adapter from.
    """

    def __init__(self, adapter: Adapter) -> None:
        super().__init__()
        self.facts = {"alpha": adapter.alpha, "base": adapter.base, "base_sha256": adapter.base_sha256}
        for path, pair in adapter.weights.items():
            for side, weight in zip(_SIDES, pair, strict=True):
                self.register_parameter(f"{path}.{side}".replace(".", "/"), nn.Parameter(weight))

    def pairs(self) -> dict[str, LowRank]:
        """The parameters themselves, by the layer's path."""
        return as_pairs(dict(self.named_parameters()))

    def get_extra_state(self) -> dict[str, Any]:
        return self.facts

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Raises RuntimeError on the state of another base."""
        if state != self.facts:
            raise RuntimeError(f"it was trained on {state}, this is {self.facts}")


class LoraLesson:
    def __init__(self, config: TrainConfig, runs: Path) -> None:
        """`runs` takes the encoded clips of the synthetic world.

        Raises TrainingError on a folder of clips that the base cannot have encoded, CheckpointError on a base
        that cannot be loaded.
        """
        self.base = load_model(Path(config.base) if config.base else shipped_checkpoint())
        if self.base.params.name != config.preset:
            problem = f"is a {self.base.params.name}, the lesson is for {config.preset}"
            raise TrainingError(config.base, problem)
        self.new = FolderBank.open(Path(config.data))
        if self.new.channels != self.base.params.vae.latent:
            raise TrainingError(config.data, f"has {self.new.channels} channels, encoded by another model")
        torch.manual_seed(config.seed)
        adapter = new_adapter(self.base, config.rank, config.alpha)
        self.old = Bank.load_or_build(runs / "bank", self.base.vae, config.clips, config.seed, *_WORLD)
        self.model: AdapterWeights = AdapterWeights(adapter)
        self.name = adapter.name
        attach(self.base, replace(adapter, weights=self.model.pairs()))

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        """Of the new clips and the old ones, each by its share of the batch."""
        old = round(recipe.batch * recipe.preserve)
        losses = {"new": self._new(dice, recipe, recipe.batch - old), "old": self._old(dice, recipe, old)}
        shares = {"new": 1.0 - old / recipe.batch, "old": old / recipe.batch}
        total = torch.stack([shares[name] * loss for name, loss in losses.items()]).sum()
        return total, {name: float(loss.detach()) for name, loss in losses.items()}

    def _new(self, dice: Dice, recipe: Recipe, batch: int) -> Tensor:
        """The flow's loss on clips of the folder."""
        if batch == 0:
            return torch.zeros(())
        x0_BTHWC, captions = self.new.draw(batch, dice.numpy)
        grid = x0_BTHWC.shape[1:4]
        told = [draw_captioned(caption, grid, dice.numpy, recipe) for caption in captions]
        prompts, hints = zip(*told, strict=True)
        text_BRE = self.base.text.encode(prompts)
        return flow_loss(self.base.backbone, x0_BTHWC, text_BRE, torch.stack(hints), dice, recipe)[0]

    def _old(self, dice: Dice, recipe: Recipe, batch: int) -> Tensor:
        """How far the adapter leads away from what the plain model says of the synthetic world.

        The plain model's own estimate is a target without the noise that a clip's would have, so a few clips
        hold the old (learning without forgetting: Li and Hoiem 2016).
        """
        if batch == 0:
            return torch.zeros(())
        x0_BTHWC, scenes = self.old.draw(batch, dice.numpy, recipe.plain)
        told = [draw_condition(scene, self.old, dice.numpy, recipe) for scene in scenes]
        prompts, hints = zip(*told, strict=True)
        hints_BTHW4 = torch.stack(hints)
        x_BTHWC, t_B = noised(x0_BTHWC, hints_BTHW4, dice, recipe)

        def estimate(scale: float) -> Tensor:
            set_scales(self.base, {self.name: scale})
            text_BRE = self.base.text.encode(prompts)
            x0_hat: Tensor = self.base.backbone(x_BTHWC, t_B, text_BRE, hints_BTHW4)
            return x0_hat

        with torch.no_grad():
            plain_BTHWC = estimate(0.0)
        return velocity_loss(estimate(1.0), plain_BTHWC, t_B)


def trained_adapter(run: Path, name: str, triggers: tuple[str, ...] = (), hint: str = "") -> Adapter:
    """The averaged weights of a run of this lesson, in `run`. Raises TrainingError if it is none."""
    try:
        state: dict[str, Any] = dict(read_state(run)["ema"])
        facts = state.pop("_extra_state")
        weights = as_pairs(state)
        rank = next(iter(weights.values())).down_RI.shape[0]
        return Adapter(name, rank, weights=weights, triggers=triggers, hint=hint, **facts)
    except (KeyError, TypeError, StopIteration) as error:
        raise TrainingError(str(run / STATE), f"is not of the lesson lora: {error!r}") from error


def as_pairs(weights: dict[str, Tensor]) -> dict[str, LowRank]:
    """By the layer's path, from tensors named as in `AdapterWeights`. Raises KeyError on half a pair."""
    layers = [name.removesuffix("/down") for name in weights if name.endswith("/down")]
    return {
        layer.replace("/", "."): LowRank(*(weights[f"{layer}/{side}"] for side in _SIDES)) for layer in layers
    }
