"""A model as a folder: config.json, three safetensors files, a model card and a licence.

Two more files may be there: the second stage's upsampler, and an adapter that makes the distilled variant.

config.json holds the architecture's parameters and the SHA-256 of every weight file. Loading checks all of it
before any weight is put in place: a model is whole or it is not there.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save, save_file
from torch import Tensor, nn

from edgecore_aiprod.adapter import save_adapter
from edgecore_aiprod.card import CARD, model_card
from edgecore_aiprod.errors import CheckpointError
from edgecore_aiprod.model import DISTILLED, PARTS, UPSAMPLER, Model, build_model, networks
from edgecore_aiprod.presets import ModelParams
from edgecore_aiprod.storage import pack, unpack

FORMAT = "edgecore-aiprod/1"
CONFIG = "config.json"


def save_model(
    model: Model,
    folder: Path,
    training: Mapping[str, Any] | None = None,
    evaluation: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write a release folder: weights, config.json, model card, licence. What is there already is replaced.

    `training` and `evaluation` are what config.json will say; by default what the model was loaded with.
    Raises CheckpointError, before anything is written, when the distilled variant is of another backbone.
    """
    if model.distilled is not None and model.distilled.base_sha256 != base_sha256(model):
        problem = "is of another backbone: distil again, or save a model whose `distilled` is None"
        raise CheckpointError(f"{DISTILLED}.safetensors", problem)
    folder.mkdir(parents=True, exist_ok=True)
    for part in networks(model):
        save_file(pack_part(model, part), folder / f"{part}.safetensors")
    if model.distilled is not None:
        save_adapter(model.distilled, folder / f"{DISTILLED}.safetensors")
    there = networks(model) if model.distilled is None else (*networks(model), DISTILLED)
    config = {
        "format": FORMAT,
        "params": model.params.to_dict(),
        "files": {f"{part}.safetensors": _described(model, part, folder) for part in there},
        "training": dict(model.training if training is None else training),
        "evaluation": list(model.evaluation if evaluation is None else evaluation),
    }
    licence = resources.files("edgecore_aiprod").joinpath("data/LICENSE").read_text(encoding="utf-8")
    (folder / "LICENSE").write_text(licence, encoding="utf-8")
    (folder / CARD).write_text(model_card(config), encoding="utf-8")
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _described(model: Model, part: str, folder: Path) -> dict[str, Any]:
    data = (folder / f"{part}.safetensors").read_bytes()
    facts: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    network = getattr(model, part)
    if isinstance(network, nn.Module):
        facts["parameters"] = sum(weight.numel() for weight in network.parameters())
    return facts


def pack_part(model: Model, part: str) -> dict[str, Tensor]:
    """A part's weights as they lie in its file."""
    network: nn.Module = getattr(model, part)
    return pack(network.state_dict(), functools.partial(_bears_eight_bits, part))


def base_sha256(model: Model) -> str:
    """Of the backbone's file as `save_model` writes it; what is attached does not count."""
    return hashlib.sha256(save(pack_part(model, "backbone"))).hexdigest()


def _bears_eight_bits(part: str, name: str) -> bool:
    """All but the decoder. In nano's backbone eight bits are a ten-thousandth of the estimate's own error."""
    return not (part == "vae" and name.startswith("decoder."))


def load_model(folder: Path, mt5: Path | None = None) -> Model:
    """Raises CheckpointError naming file and tensor; touches no network. For `mt5` see `build_model`."""
    config = _read_config(folder / CONFIG)
    files = config["files"]
    parts = [part for part in (*PARTS, UPSAMPLER) if part in PARTS or f"{part}.safetensors" in files]
    weights = {part: _read_weights(folder / f"{part}.safetensors", files) for part in parts}
    try:
        params = ModelParams.from_dict(config["params"])
        with torch.device("meta"):  # shapes alone: a config.json that lies takes no memory
            model = build_model(params, mt5)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(CONFIG, f"params do not describe a model: {error!r}") from error
    model = replace(model, training=config.get("training", {}), evaluation=config.get("evaluation", []))
    if UPSAMPLER not in parts:
        model = replace(model, upsampler=None)
    elif model.upsampler is None:
        raise CheckpointError(CONFIG, "params do not describe the upsampler whose file it lists")
    for part in parts:
        _fill(getattr(model, part), weights[part], f"{part}.safetensors")
    return _with_distilled(model, folder, files)


def _with_distilled(model: Model, folder: Path, files: dict[str, Any]) -> Model:
    """The model with its distilled variant, where `files` lists one."""
    path = folder / f"{DISTILLED}.safetensors"
    if path.name not in files:
        return model
    from edgecore_aiprod.lora import read_adapter  # which needs this module

    _read_signed(path, files)
    return replace(model, distilled=read_adapter(path, model))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(CONFIG, f"is missing from {path.parent}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(CONFIG, f"cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(CONFIG, f'"format" is not {FORMAT}')
    if not isinstance(config.get("params"), dict) or not isinstance(config.get("files"), dict):
        raise CheckpointError(CONFIG, '"params" and "files" must be objects')
    evaluation = config.get("evaluation", [])
    if not isinstance(config.get("training", {}), dict):
        raise CheckpointError(CONFIG, '"training" must be an object')
    if not isinstance(evaluation, list) or not all(_is_figure(figure) for figure in evaluation):
        raise CheckpointError(CONFIG, '"evaluation" must be objects with "name" and "value"')
    return config


def _is_figure(figure: object) -> bool:
    return isinstance(figure, dict) and {"name", "value"} <= set(figure)


def _read_signed(path: Path, files: dict[str, Any]) -> bytes:
    """The file's bytes, which are those that config.json promises."""
    promised = files.get(path.name)
    if not isinstance(promised, dict) or not isinstance(promised.get("sha256"), str):
        raise CheckpointError(CONFIG, f"has no sha256 for {path.name}")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(path.name, f"is missing from {path.parent}") from error
    except OSError as error:
        raise CheckpointError(path.name, f"cannot be read: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != promised["sha256"]:
        raise CheckpointError(path.name, f"sha256 is {found}, {CONFIG} says {promised['sha256']}")
    return data


def _read_weights(path: Path, files: dict[str, Any]) -> dict[str, Tensor]:
    data = _read_signed(path, files)
    try:
        packed = load_safetensors(data)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch has none for
        raise CheckpointError(path.name, f"is not a safetensors file: {error!r}") from error
    return unpack(packed, path.name)


def _fill(network: nn.Module, weights: dict[str, Tensor], file: str) -> None:
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name not in weights:
            raise CheckpointError(file, "is missing", name)
        found = weights[name]
        if found.shape != value.shape:
            raise CheckpointError(
                file, f"has shape {tuple(found.shape)}, the model needs {tuple(value.shape)}", name
            )
        if found.dtype != value.dtype:
            raise CheckpointError(file, f"holds {found.dtype}, the model needs {value.dtype}", name)
        if not torch.isfinite(found).all():
            raise CheckpointError(file, "has values that are not finite", name)
    extra = sorted(set(weights) - set(wanted))
    if extra:
        raise CheckpointError(file, "is not part of the model", extra[0])
    network.load_state_dict(weights, assign=True)
