"""A folder that is not what it says is refused whole, by file and tensor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgecore_aiprod import AiprodPipeline, CheckpointError
from edgecore_aiprod.checkpoint import load_model
from edgecore_aiprod.pipeline import shipped_checkpoint
from edgecore_aiprod.storage import pack, unpack

FILE = "backbone.safetensors"


def sign(folder: Path, file: str = FILE) -> None:
    """Make config.json agree with a changed file, so that the checks behind the hash are reached."""
    config = json.loads((folder / "config.json").read_text())
    config["files"][file]["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))


def change(folder: Path, edit: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / FILE)
    edit(tensors)
    save_file(tensors, folder / FILE)
    sign(folder)


def drop(tensors: dict[str, Tensor]) -> None:
    del tensors["inlet.weight"]


def add(tensors: dict[str, Tensor]) -> None:
    tensors["stowaway"] = torch.zeros(1)


def reshape(tensors: dict[str, Tensor]) -> None:
    tensors["inlet.weight"] = torch.zeros(3, 3)


def poison(tensors: dict[str, Tensor]) -> None:
    tensors["inlet.weight"][0, 0] = torch.nan


def test_eight_bits_keep_a_matrix_to_a_half_level() -> None:
    weights = {
        "big": torch.randn(64, 3, 3, 16),
        "small": torch.randn(4, 4),
        "row": torch.full((3,), 1e9),
        "count": torch.tensor(3),
    }
    packed = pack(weights, lambda name: True)
    assert {name: value.dtype for name, value in packed.items()} == {
        "big": torch.int8,
        "big.scale": torch.float16,
        "small": torch.float16,
        "row": torch.float32,
        "count": torch.int64,
    }
    again = unpack(packed, "file")
    assert again.keys() == weights.keys()
    level = weights["big"].flatten(1).abs().amax(dim=1) / 127
    assert ((again["big"] - weights["big"]).flatten(1).abs().amax(dim=1) <= 0.6 * level).all()
    assert pack(weights, lambda name: False)["big"].dtype == torch.float16
    del packed["big.scale"]
    with pytest.raises(CheckpointError, match="big: is int8"):
        unpack(packed, "file")


def test_a_model_survives_the_round_trip(tiny_folder: Path) -> None:
    model = load_model(tiny_folder)
    assert all(weight.dtype == torch.float32 for weight in model.backbone.parameters())
    assert not model.vae.training


@pytest.mark.parametrize(
    ("edit", "tensor"),
    [(drop, "inlet.weight"), (add, "stowaway"), (reshape, "inlet.weight"), (poison, "inlet.weight")],
)
def test_wrong_tensors_are_named(
    tiny_folder: Path, edit: Callable[[dict[str, Tensor]], None], tensor: str
) -> None:
    change(tiny_folder, edit)
    with pytest.raises(CheckpointError) as caught:
        AiprodPipeline.from_pretrained(tiny_folder)
    assert (caught.value.file, caught.value.tensor) == (FILE, tensor)
    assert tensor in str(caught.value)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kept", [0, 5, 1000])
def test_a_truncated_file_is_refused(tiny_folder: Path, kept: int, signed: bool) -> None:
    path = tiny_folder / FILE
    path.write_bytes(path.read_bytes()[:kept])
    if signed:
        sign(tiny_folder)
    with pytest.raises(CheckpointError) as caught:
        load_model(tiny_folder)
    assert caught.value.file == FILE
    assert ("safetensors file" if signed else "sha256") in str(caught.value)


def test_a_single_flipped_bit_is_found(tiny_folder: Path) -> None:
    path = tiny_folder / "vae.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"vae\.safetensors: sha256"):
        load_model(tiny_folder)


@pytest.mark.parametrize(
    "name", ["config.json", "vae.safetensors", "text.safetensors", "backbone.safetensors"]
)
def test_a_missing_file_is_named(tiny_folder: Path, name: str) -> None:
    (tiny_folder / name).unlink()
    with pytest.raises(CheckpointError) as caught:
        load_model(tiny_folder)
    assert caught.value.file == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": "edgecore-aiprod/1"}',
        '{"format": "edgecore-aiprod/1", "params": {}, "files": {}}',
    ],
)
def test_a_broken_config_is_named(tiny_folder: Path, text: str) -> None:
    (tiny_folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(tiny_folder)


@pytest.mark.parametrize(
    ("part", "key", "value"), [("backbone", "heads", 7), ("vae", "depth", 3), ("text", "width", "x")]
)
def test_params_that_describe_no_model_are_refused(
    tiny_folder: Path, part: str, key: str, value: object
) -> None:
    config = json.loads((tiny_folder / "config.json").read_text())
    config["params"][part][key] = value
    (tiny_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError):
        load_model(tiny_folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="missing"):
        AiprodPipeline.from_pretrained(tmp_path / "nowhere")


def test_the_shipped_folder_is_small_and_complete() -> None:
    folder = shipped_checkpoint()
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json",
        "vae.safetensors",
        "text.safetensors",
        "backbone.safetensors",
        "upsampler.safetensors",
        "distilled.safetensors",
        "README.md",
        "LICENSE",
    }
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20_000_000
