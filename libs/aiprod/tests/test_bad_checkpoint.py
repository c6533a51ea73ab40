"""A model's files that are not what they say: the error names file and tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgecore_aiprod import AiprodPipeline, CheckpointError, GenerationRequest
from edgecore_aiprod.checkpoint import load_model
from edgecore_aiprod.model import PARTS

from .conftest import sign

REQUEST = GenerationRequest("a red circle moving right", frames=5, steps=1)


def missing(tensors: dict[str, Tensor], name: str) -> None:
    del tensors[name]


def mis_shaped(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name].flatten()[1:].clone()


def empty(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.zeros(0)


def not_a_number(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.full(tensors[name].shape, torch.nan)


def infinite(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.full(tensors[name].shape, -torch.inf)


def whole_numbers(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.ones(tensors[name].shape, dtype=torch.int64)


def eight_bits_without_scale(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.ones(tensors[name].shape, dtype=torch.int8)


@pytest.mark.parametrize(
    ("part", "tensor"),
    [("vae", "decoder.inlet.weight"), ("text", "fold.weight"), ("backbone", "outlet.weight")],
)
@pytest.mark.parametrize(
    "edit",
    [
        missing,
        mis_shaped,
        empty,
        not_a_number,
        infinite,
        whole_numbers,
        eight_bits_without_scale,
    ],
)
def test_a_wrong_tensor_of_any_part_is_named(
    tiny_folder: Path, part: str, tensor: str, edit: Callable[[dict[str, Tensor], str], None]
) -> None:
    path = tiny_folder / f"{part}.safetensors"
    tensors = load_file(path)
    edit(tensors, tensor)
    save_file(tensors, path)
    sign(tiny_folder, path.name)
    with pytest.raises(CheckpointError) as caught:
        load_model(tiny_folder)
    assert (caught.value.file, caught.value.tensor) == (path.name, tensor)


@pytest.mark.parametrize("part", PARTS)
def test_a_file_with_extra_or_without_any_tensors_is_refused(tiny_folder: Path, part: str) -> None:
    path = tiny_folder / f"{part}.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"stowaway": torch.zeros(2)}, path)
    sign(tiny_folder, path.name)
    with pytest.raises(CheckpointError, match="stowaway") as caught:
        load_model(tiny_folder)
    assert caught.value.tensor == "stowaway"
    save_file({}, path)
    sign(tiny_folder, path.name)
    with pytest.raises(CheckpointError, match="is missing"):
        load_model(tiny_folder)


@pytest.mark.parametrize(
    "name", ["config.json", "vae.safetensors", "text.safetensors", "backbone.safetensors"]
)
def test_a_folder_in_place_of_a_file_is_refused(tiny_folder: Path, name: str) -> None:
    (tiny_folder / name).unlink()
    (tiny_folder / name).mkdir()
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        load_model(tiny_folder)
    assert caught.value.file == name


def test_a_file_in_place_of_the_folder_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(CheckpointError):
        AiprodPipeline.from_pretrained(tiny_folder / "config.json")


def test_a_failed_load_leaves_a_pipeline_as_it_was(tiny_folder: Path) -> None:
    pipeline = AiprodPipeline.from_pretrained(tiny_folder)
    before = pipeline(REQUEST)
    for part in PARTS:
        path = tiny_folder / f"{part}.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(CheckpointError):
            AiprodPipeline.from_pretrained(tiny_folder)
    assert np.array_equal(pipeline(REQUEST), before)
