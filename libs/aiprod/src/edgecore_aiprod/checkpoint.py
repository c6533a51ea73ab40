"""A model as a folder: config.json, three safetensors files, a model card and a licence.

config.json holds the architecture's parameters and the SHA-256 of every weight file. Loading checks all of it
before any weight is put in place: a model is whole or it is not there.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor, nn

from edgecore_aiprod.backbone import Backbone
from edgecore_aiprod.errors import CheckpointError
from edgecore_aiprod.presets import ModelParams
from edgecore_aiprod.storage import pack, unpack
from edgecore_aiprod.text import TextEncoder
from edgecore_aiprod.vae import VideoVae

FORMAT = "edgecore-aiprod/1"
CONFIG = "config.json"
PARTS = ("vae", "text", "backbone")


@dataclass(frozen=True)
class Model:
    """The three networks, in float32 and evaluation mode."""

    params: ModelParams
    vae: VideoVae
    text: TextEncoder
    backbone: Backbone


def build_model(params: ModelParams) -> Model:
    """A model with fresh weights."""
    model = Model(
        params,
        VideoVae(params.vae),
        TextEncoder(params.text),
        Backbone(params.backbone, params.vae.latent, params.text.out),
    )
    for part in PARTS:
        network: nn.Module = getattr(model, part)
        network.eval().requires_grad_(False)
    return model


def save_model(model: Model, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the weights, and config.json with `facts` about their training."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        path = folder / f"{part}.safetensors"
        network: nn.Module = getattr(model, part)
        save_file(pack(network.state_dict(), functools.partial(_bears_eight_bits, part)), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files[path.name] = {"sha256": digest, "bytes": path.stat().st_size}
    config = {"format": FORMAT, "params": model.params.to_dict(), "files": files, "training": dict(facts)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _bears_eight_bits(part: str, name: str) -> bool:
    """The text encoder, and the video encoder, which making a clip does not even use."""
    return part == "text" or (part == "vae" and name.startswith("encoder."))


def load_model(folder: Path) -> Model:
    """Raises CheckpointError naming file and tensor; touches no network."""
    config = _read_config(folder / CONFIG)
    weights = {part: _read_weights(folder / f"{part}.safetensors", config["files"]) for part in PARTS}
    try:
        params = ModelParams.from_dict(config["params"])
        model = build_model(params)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise CheckpointError(CONFIG, f"params do not describe a model: {error!r}") from error
    for part in PARTS:
        _fill(getattr(model, part), weights[part], f"{part}.safetensors")
    return model


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(CONFIG, f"is missing from {path.parent}") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(CONFIG, f"cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(CONFIG, f'"format" is not {FORMAT}')
    if not isinstance(config.get("params"), dict) or not isinstance(config.get("files"), dict):
        raise CheckpointError(CONFIG, '"params" and "files" must be objects')
    return config


def _read_weights(path: Path, files: dict[str, Any]) -> dict[str, Tensor]:
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
    try:
        packed = load_safetensors(data)
    except SafetensorError as error:
        raise CheckpointError(path.name, f"is not a safetensors file: {error}") from error
    return unpack(packed, path.name)


def _fill(network: nn.Module, weights: dict[str, Tensor], file: str) -> None:
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name not in weights:
            raise CheckpointError(file, "is missing", name)
        if weights[name].shape != value.shape:
            raise CheckpointError(
                file, f"has shape {tuple(weights[name].shape)}, the model needs {tuple(value.shape)}", name
            )
        if not torch.isfinite(weights[name]).all():
            raise CheckpointError(file, "has values that are not finite", name)
    extra = sorted(set(weights) - set(wanted))
    if extra:
        raise CheckpointError(file, "is not part of the model", extra[0])
    network.load_state_dict(weights)
