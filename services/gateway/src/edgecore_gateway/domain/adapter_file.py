"""The file of a LoRA adapter, format edgecore-aiprod-lora/1, as far as one can check it without the model.

safetensors: eight bytes with the header's length, the header as JSON, the tensors. Under "config" of the header's
metadata stands what the adapter is, with a hash of the whole content.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any

from edgecore_gateway.domain import fields, json_body
from edgecore_gateway.domain.fields import Refused
from edgecore_gateway.domain.json_body import MalformedJson

FORMAT = "edgecore-aiprod-lora/1"
HEADER_MOST = 4 * 1024 * 1024
RANK_MOST = 1024
ALPHA_LEAST, ALPHA_MOST = 1e-6, 1e6
LAYER_CHARACTERS = 200
TRIGGERS_MOST, TRIGGER_CHARACTERS, HINT_CHARACTERS = 64, 200, 2000

# How the content's hash names a type, and the bytes of one value.
_TYPES = {
    "F16": ("torch.float16", 2),
    "BF16": ("torch.bfloat16", 2),
    "F32": ("torch.float32", 4),
    "F64": ("torch.float64", 8),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class AdapterFile:
    """`base` is the model's preset; a prompt has to say one of the triggers; the hint is an example of one."""

    name: str
    base: str
    rank: int
    alpha: float
    triggers: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class _Tensor:
    dtype: str
    shape: tuple[int, int]
    start: int
    end: int


def adapter_name(value: Any) -> str:
    """What an adapter may be called. Raises Refused."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Refused("must be 1 to 64 letters, digits, dots, hyphens and underscores, the first no punctuation")
    return value


def read_adapter(data: bytes | mmap, bases: Sequence[str]) -> AdapterFile:
    """What the file holds; its `base` is one of `bases`. Raises Refused."""
    header, begin = _header(data)
    config = _config(header.pop("__metadata__", None))
    promised = config.pop("sha256", None)
    adapter = _adapter(config, bases)
    tensors = _tensors(header, len(data) - begin)
    _check_layers(config["layers"], tensors, adapter.rank)
    if _content_sha256(config, tensors, data, begin) != promised:
        raise Refused("is damaged: the hash of its content is not the one that its header promises")
    return adapter


def _header(data: bytes | mmap) -> tuple[dict[str, Any], int]:
    """The header, and where the tensors begin."""
    begin = 8 + int.from_bytes(data[:8], "little")
    if not 8 < begin <= min(len(data), HEADER_MOST):
        raise Refused("must be a safetensors file")
    try:
        header = json_body.parse(data[8:begin])
    except MalformedJson as error:
        raise Refused("must be a safetensors file: its header is not JSON") from error
    if not isinstance(header, dict):
        raise Refused("must be a safetensors file: its header is no object")
    return header, begin


def _config(metadata: Any) -> dict[str, Any]:
    text = metadata.get("config") if isinstance(metadata, dict) else None
    try:
        config = json_body.parse(text.encode()) if isinstance(text, str) else None
    except (MalformedJson, UnicodeEncodeError) as error:
        raise Refused('must have JSON under "config" of its header') from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise Refused(f"must be an adapter of the format {FORMAT}")
    return config


def _adapter(config: Mapping[str, Any], bases: Sequence[str]) -> AdapterFile:
    layers = _texts(config, "layers", LAYER_CHARACTERS)
    triggers = _texts(config, "triggers", TRIGGER_CHARACTERS)
    if not layers:
        raise Refused('"layers" of its config must name one at least')
    if len(triggers) > TRIGGERS_MOST:
        raise Refused(f'"triggers" of its config must be at most {TRIGGERS_MOST}')
    if not isinstance(config.get("base_sha256"), str):
        raise Refused('"base_sha256" of its config must be text')
    return AdapterFile(
        name=_part(config, "name", adapter_name),
        base=_part(config, "base", lambda value: fields.choice(value, bases)),
        rank=_part(config, "rank", lambda value: fields.integer(value, 1, RANK_MOST)),
        alpha=_part(config, "alpha", lambda value: fields.number(value, ALPHA_LEAST, ALPHA_MOST)),
        triggers=triggers,
        hint=_part(config, "hint", lambda value: fields.text(value, 0, HINT_CHARACTERS)),
    )


def _texts(config: Mapping[str, Any], name: str, characters: int) -> tuple[str, ...]:
    values = config.get(name)
    if not isinstance(values, list):
        raise Refused(f'"{name}" of its config must be a list of texts')
    return tuple(_part({name: one}, name, lambda value: fields.text(value, 1, characters)) for one in values)


def _part(config: Mapping[str, Any], name: str, check: Callable[[Any], Any]) -> Any:
    try:
        return check(config.get(name))
    except Refused as refused:
        raise Refused(f'"{name}" of its config {refused.rule}') from refused


def _tensors(header: Mapping[str, Any], size: int) -> dict[str, _Tensor]:
    """They fill the rest of the file, without gaps."""
    found: dict[str, _Tensor] = {}
    for name, entry in header.items():
        try:
            (rows, columns), (start, end) = entry["shape"], entry["data_offsets"]
            kind, width = _TYPES[entry["dtype"]]
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"tensor {json_body.printable(name)!r} must be a matrix of floats") from error
        if any(type(one) is not int or one < 0 for one in (rows, columns, start, end)):
            raise Refused(f"tensor {json_body.printable(name)!r} must be a matrix of floats")
        if end - start != math.prod((rows, columns, width)):
            raise Refused(f"tensor {json_body.printable(name)!r} has the wrong number of bytes")
        found[name] = _Tensor(kind, (rows, columns), start, end)
    end = 0
    for tensor in sorted(found.values(), key=lambda one: (one.start, one.end)):
        if tensor.start != end:
            raise Refused("must be a safetensors file: its tensors have gaps")
        end = tensor.end
    if end != size:
        raise Refused("must be a whole safetensors file")
    return found


def _check_layers(layers: Sequence[str], tensors: Mapping[str, _Tensor], rank: int) -> None:
    wanted = {f"{layer}.{side}" for layer in layers for side in ("down", "up")}
    if wanted != tensors.keys():
        raise Refused("must have a down and an up matrix for each of its layers, and nothing else")
    for layer in layers:
        if (tensors[f"{layer}.down"].shape[0], tensors[f"{layer}.up"].shape[1]) != (rank, rank):
            raise Refused(f"layer {json_body.printable(layer)!r} must have matrices of rank {rank}")


def _content_sha256(
    config: Mapping[str, Any], tensors: Mapping[str, _Tensor], data: bytes | mmap, begin: int
) -> str:
    """Of the config without its own hash, and of every tensor's name, type, shape and bytes."""
    try:
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    except RecursionError as error:
        raise Refused("has a config that is nested too deeply") from error
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(data[begin + tensor.start : begin + tensor.end])
    return digest.hexdigest()
