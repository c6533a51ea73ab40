"""Low-rank adapters on a model (LoRA, Hu et al. 2021): a small file teaches it something new.

A layer y = W·x + b becomes y + scale · alpha/rank · up·(down·x). Attaching changes no weight: a hook adds the
term to the layer's output. So what is attached can be weighed anew at any time, stacked with others and taken
off to the bit. `fuse` does change the weights, for a model of its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from edgecore_aiprod.adapter import NAME, Adapter, LowRank, read_file
from edgecore_aiprod.checkpoint import base_sha256
from edgecore_aiprod.errors import CheckpointError, InvalidRequest
from edgecore_aiprod.model import Model

#: Patterns of layers: attention, cross-attention and feed-forward of all blocks, and what leads in and out.
TEXT_LAYERS = ("text.fold", "text.connector.blocks.*")
BACKBONE_LAYERS = ("backbone.inlet", "backbone.blocks.*", "backbone.outlet")


@dataclass
class Attached:
    """An adapter on a model's layers. `scale` counts from the next forward pass on."""

    adapter: Adapter
    scale: float
    hooks: list[RemovableHandle] = field(default_factory=list)


def linear_layers(model: Model) -> dict[str, nn.Linear]:
    """Of text encoder and backbone, by path."""
    return {
        f"{part}.{name}": layer
        for part in ("text", "backbone")
        for name, layer in getattr(model, part).named_modules()
        if isinstance(layer, nn.Linear)
    }


def new_adapter(
    model: Model,
    rank: int,
    alpha: float,
    name: str = "adapter",
    layers: Sequence[str] = (*TEXT_LAYERS, *BACKBONE_LAYERS),
) -> Adapter:
    """One that changes nothing yet: `up` is zero and `down` random, as in the paper.

    `layers` are patterns of paths, with `*`. Raises InvalidRequest on a name, rank, alpha or pattern that
    does not fit.
    """
    chosen = {
        path: layer
        for path, layer in linear_layers(model).items()
        if any(fnmatchcase(path, pattern) for pattern in layers)
    }
    if not chosen:
        raise InvalidRequest("layers", "patterns of which one matches a linear layer", tuple(layers))
    high = min(min(layer.weight.shape) for layer in chosen.values())
    if type(rank) is not int or not 1 <= rank <= high:
        raise InvalidRequest("rank", f"a whole number from 1 to the layers' smallest side, {high}", rank)
    if not math.isfinite(alpha) or alpha <= 0.0:
        raise InvalidRequest("alpha", "a finite number above 0", alpha)
    weights = {}
    for path, layer in chosen.items():
        down_RI = layer.weight.new_empty(rank, layer.in_features)
        nn.init.kaiming_uniform_(down_RI, a=math.sqrt(5.0))
        weights[path] = LowRank(down_RI, down_RI.new_zeros(layer.out_features, rank))
    return Adapter(checked_name(name), rank, float(alpha), model.params.name, base_sha256(model), weights)


def read_adapter(path: Path, model: Model) -> Adapter:
    """One that fits `model`, from its file.

    Raises CheckpointError naming the file, and the tensor where it is one tensor's fault: unreadable,
    truncated, changed since it was written, of another base model, or with tensors that are missing, extra,
    of another shape or not finite.
    """
    adapter = read_file(path)
    found = base_sha256(model)
    if (adapter.base, adapter.base_sha256) != (model.params.name, found):
        theirs, ours = f"{adapter.base} {adapter.base_sha256[:12]}…", f"{model.params.name} {found[:12]}…"
        raise CheckpointError(path.name, f"is for the base model {theirs}, this is {ours}")
    _check_layers(adapter, model, path.name)
    return adapter


def attach(model: Model, adapter: Adapter, scale: float = 1.0) -> None:
    """Put it on the model; several add up.

    Raises InvalidRequest on a name that is attached already or a scale that is no number, CheckpointError if
    its layers are not the model's; nothing is attached then.
    """
    if adapter.name in model.adapters:
        raise InvalidRequest("adapter", "a name that is not attached yet", adapter.name)
    layers = _check_layers(adapter, model, f"adapter {adapter.name}")
    attached = Attached(adapter, _checked_scale(scale))
    for path, pair in adapter.weights.items():
        placed = LowRank(*(weight.to(layers[path].weight.device) for weight in pair))
        attached.hooks.append(layers[path].register_forward_hook(functools.partial(_add, attached, placed)))
    model.adapters[adapter.name] = attached


def _add(attached: Attached, pair: LowRank, _: nn.Module, inputs: tuple[Tensor], y: Tensor) -> Tensor:
    """The hook of one layer."""
    if attached.scale == 0.0:
        return y
    factor = attached.scale * attached.adapter.alpha / attached.adapter.rank
    return y + F.linear(factor * F.linear(inputs[0], pair.down_RI), pair.up_OR)


def detach(model: Model, name: str) -> None:
    """The model is what it was before `attach`, to the bit. Raises InvalidRequest on a name not attached."""
    _check_attached(model, name)
    for hook in model.adapters.pop(name).hooks:
        hook.remove()


def set_scales(model: Model, scales: Mapping[str, float]) -> None:
    """Weigh anew what is attached: those named as given, all others 0, which is as if they were not there.

    Raises InvalidRequest on a name not attached or a scale that is no number; all stay as they were then.
    """
    for name in scales:
        _check_attached(model, name)
    checked = {name: _checked_scale(scale) for name, scale in scales.items()}
    for name, attached in model.adapters.items():
        attached.scale = checked.get(name, 0.0)


@torch.no_grad()
def fuse(model: Model, adapter: Adapter, scale: float = 1.0) -> None:
    """Add it to the model's weights for good: the model is another base from then on, for adapters too.

    Raises InvalidRequest if it is attached as well, where it would count twice, or the scale is no number,
    CheckpointError if its layers are not the model's.
    """
    if adapter.name in model.adapters:
        raise InvalidRequest("adapter", "one that is not attached: detach it first", adapter.name)
    layers = _check_layers(adapter, model, f"adapter {adapter.name}")
    factor = _checked_scale(scale) * adapter.alpha / adapter.rank
    for path, pair in adapter.weights.items():
        down_RI, up_OR = (weight.to(layers[path].weight.device) for weight in pair)
        layers[path].weight += factor * (up_OR @ down_RI)


def checked_name(name: object) -> str:
    """Raises InvalidRequest on what cannot be an adapter's name."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        rule = "1 to 64 of A–Z, a–z, 0–9, dot, dash and underscore, the first a letter or a digit"
        raise InvalidRequest("name", rule, name)
    return name


def _check_layers(adapter: Adapter, model: Model, file: str) -> dict[str, nn.Linear]:
    """The model's layers, among them all of the adapter's."""
    layers = linear_layers(model)
    for path, pair in adapter.weights.items():
        if path not in layers:
            raise CheckpointError(file, "is of no linear layer of the model", f"{path}.down")
        needed = ((adapter.rank, layers[path].in_features), (layers[path].out_features, adapter.rank))
        for side, weight, shape in zip(("down", "up"), pair, needed, strict=True):
            if tuple(weight.shape) != shape:
                problem = f"has shape {tuple(weight.shape)}, rank {adapter.rank} and the model need {shape}"
                raise CheckpointError(file, problem, f"{path}.{side}")
    return layers


def _check_attached(model: Model, name: str) -> None:
    if name not in model.adapters:
        raise InvalidRequest("adapter", f"one of those attached, {sorted(model.adapters)}", name)


def _checked_scale(scale: object) -> float:
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
        raise InvalidRequest("scale", "a finite number", scale)
    return float(scale)
