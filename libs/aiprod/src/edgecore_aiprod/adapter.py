"""A low-rank adapter (LoRA, Hu et al. 2021) and its file; `lora` puts it on a model.

The file is safetensors in float16, `<layer>.down` (rank, in) and `<layer>.up` (out, rank) for each layer,
with everything else, a hash of the whole content too, as JSON under "config" of its header. Reading checks
all of it before there is an adapter.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from edgecore_aiprod.errors import CheckpointError
from edgecore_aiprod.replacement import replacing

FORMAT = "edgecore-aiprod-lora/1"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class LowRank(NamedTuple):
    """What is learned for one layer (in → out)."""

    down_RI: Tensor
    up_OR: Tensor


@dataclass(frozen=True)
class Adapter:
    name: str
    rank: int
    alpha: float  # the term is weighed by alpha/rank, so that one learning rate suits every rank
    base: str  # name of the model's preset
    base_sha256: str  # of the base's backbone file
    weights: Mapping[str, LowRank]  # by the layer's path, "text.…" or "backbone.…"
    triggers: tuple[str, ...] = ()  # words that a prompt has to say
    hint: str = ""  # a caption of the kind it was trained on


def save_adapter(adapter: Adapter, path: Path) -> None:
    """Write the file beside its place and move it there. Raises CheckpointError if a weight is not finite in
    float16.
    """
    tensors = {
        f"{layer}.{side}": weight.detach().cpu().half().contiguous()
        for layer, pair in adapter.weights.items()
        for side, weight in zip(("down", "up"), pair, strict=True)
    }
    _check_finite(tensors, path.name)
    config = {
        "format": FORMAT,
        "name": adapter.name,
        "rank": adapter.rank,
        "alpha": adapter.alpha,
        "base": adapter.base,
        "base_sha256": adapter.base_sha256,
        "layers": sorted(adapter.weights),
        "triggers": list(adapter.triggers),
        "hint": adapter.hint,
    }
    signed = config | {"sha256": content_sha256(config, tensors)}
    with replacing(path) as partial:
        save_file(tensors, partial, {"config": json.dumps(signed)})


def read_file(path: Path) -> Adapter:
    """What a file holds, in float32, not yet compared with any model. Raises CheckpointError naming the file,
    and the tensor where it is one tensor's fault.
    """
    config, tensors = _read_content(path)
    _check_config(config, path.name)
    layers: list[str] = config["layers"]
    wanted = {f"{layer}.{side}" for layer in layers for side in ("down", "up")}
    for name in sorted(wanted - set(tensors)):
        raise CheckpointError(path.name, "is missing", name)
    for name in sorted(set(tensors) - wanted):
        raise CheckpointError(path.name, "is not of a layer that the config names", name)
    for name, value in tensors.items():  # of floats in one byte torch cannot say whether they are finite
        if value.dim() != 2 or not value.is_floating_point() or value.itemsize < 2:
            found = f"{value.dtype} {tuple(value.shape)}"
            raise CheckpointError(path.name, f"is {found}, not a matrix of floats of 16 bits or more", name)
    _check_finite(tensors, path.name)
    return Adapter(
        name=config["name"],
        rank=config["rank"],
        alpha=float(config["alpha"]),
        base=config["base"],
        base_sha256=config["base_sha256"],
        weights={
            layer: LowRank(tensors[f"{layer}.down"].float(), tensors[f"{layer}.up"].float())
            for layer in layers
        },
        triggers=tuple(config["triggers"]),
        hint=config["hint"],
    )


def _read_content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header's config and the tensors, as they were written: format and hash are right."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("config", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except FileNotFoundError as error:
        raise CheckpointError(path.name, f"is missing from {path.parent}") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(path.name, f"is not a safetensors file: {error}") from error
    try:
        config = json.loads(text)
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise CheckpointError(path.name, f'"format" is not {FORMAT}')
        promised = config.pop("sha256", None)
        found = content_sha256(config, tensors)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path.name, f'has no JSON under "config" of its header: {error}') from error
    if found != promised:
        raise CheckpointError(path.name, f"sha256 of the content is {found}, the header says {promised}")
    return config, tensors


def content_sha256(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Of the config without its own hash, and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _check_config(config: Mapping[str, Any], file: str) -> None:
    def are_texts(values: object) -> bool:
        return isinstance(values, list) and all(isinstance(value, str) for value in values)

    rank, alpha = config.get("rank"), config.get("alpha")
    rules = {
        "name": bool(NAME.fullmatch(str(config.get("name")))),
        "rank": type(rank) is int and rank >= 1,
        "alpha": isinstance(alpha, int | float)
        and not isinstance(alpha, bool)
        and 0 < alpha <= sys.float_info.max,
        "base": isinstance(config.get("base"), str),
        "base_sha256": isinstance(config.get("base_sha256"), str),
        "layers": are_texts(config.get("layers")) and bool(config["layers"]),
        "triggers": are_texts(config.get("triggers")),
        "hint": isinstance(config.get("hint"), str),
    }
    for key, holds in rules.items():
        if not holds:
            raise CheckpointError(file, f'"{key}" of its config does not describe an adapter')


def _check_finite(tensors: Mapping[str, Tensor], file: str) -> None:
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(file, "has values that are not finite", name)
