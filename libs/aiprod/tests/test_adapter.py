"""An adapter's file: written and read back to the bit, and refused whole when it is not what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgecore_aiprod import CheckpointError
from edgecore_aiprod.adapter import FORMAT, LowRank, content_sha256, read_file, save_adapter
from edgecore_aiprod.lora import attach, read_adapter
from edgecore_aiprod.model import Model

from .conftest import made, seen

INLET = "backbone.inlet"
DOWN = f"{INLET}.down"


def test_an_adapter_survives_the_round_trip(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    adapter = replace(made(model, "one", 1), triggers=("oval",), hint="a red oval moving right")
    save_adapter(adapter, path)
    again = read_adapter(path, model)
    assert replace(again, weights={}) == replace(adapter, weights={})
    for layer, pair in adapter.weights.items():
        assert all(torch.equal(*both) for both in zip(again.weights[layer], pair, strict=True))
    assert {value.dtype for value in load_file(path).values()} == {torch.float16}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def change(
    path: Path,
    edit: Callable[[dict[str, Tensor], dict[str, Any]], None],
    signed: bool = True,
) -> None:
    """Rewrite an adapter's file; `signed` makes its hash agree, so that the checks behind it are reached."""
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    edit(tensors, config)
    if signed:
        config.pop("sha256")
        config["sha256"] = content_sha256(config, tensors)
    save_file(tensors, path, {"config": json.dumps(config)})


def refusal(path: Path, model: Model) -> CheckpointError:
    before = seen(model)
    with pytest.raises(CheckpointError) as caught:
        attach(model, read_adapter(path, model))
    assert caught.value.file == path.name
    assert model.adapters == {}
    assert torch.equal(seen(model), before)
    return caught.value


@pytest.mark.parametrize(
    ("tensor", "value", "said"),
    [
        (DOWN, None, "is missing"),
        ("stowaway.down", torch.zeros(2, 2), "is not of a layer"),
        (DOWN, torch.zeros(2, 3), "has shape (2, 3), rank 2 and the model need (2, 16)"),
        (DOWN, torch.zeros(3, 16), "rank 2 and the model need (2, 16)"),
        (f"{INLET}.up", torch.zeros(32, 3), "rank 2 and the model need (32, 2)"),
        (DOWN, torch.full((2, 16), torch.nan), "not finite"),
        (DOWN, torch.full((2, 16), torch.inf), "not finite"),
        (DOWN, torch.zeros(2), "not a matrix of floats"),
        (DOWN, torch.zeros(2, 16, dtype=torch.int8), "not a matrix of floats"),
        (DOWN, torch.zeros(2, 16, dtype=torch.complex64), "not a matrix of floats"),
        (DOWN, torch.zeros(2, 16).to(torch.float8_e4m3fn), "not a matrix of floats of 16 bits or more"),
    ],
)
def test_wrong_tensors_are_named(
    model: Model, adapter_path: Path, tensor: str, value: Tensor | None, said: str
) -> None:
    def edit(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        tensors.pop(tensor, None)
        if value is not None:
            tensors[tensor] = value

    change(adapter_path, edit)
    error = refusal(adapter_path, model)
    assert error.tensor == tensor
    assert said in str(error)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("format", "edgecore-aiprod-lora/2", '"format" is not'),
        ("rank", 3, "rank 3 and the model need"),
        ("rank", True, '"rank" of its config'),
        ("rank", 0, '"rank" of its config'),
        ("alpha", float("nan"), '"alpha" of its config'),
        ("alpha", "4", '"alpha" of its config'),
        ("alpha", True, '"alpha" of its config'),
        pytest.param("alpha", 10**400, '"alpha" of its config', id="alpha beyond float"),
        ("name", "../../etc", '"name" of its config'),
        ("layers", [], '"layers" of its config'),
        ("layers", "backbone.inlet", '"layers" of its config'),
        ("triggers", [1], '"triggers" of its config'),
        ("hint", None, '"hint" of its config'),
        ("base", "small", "is for the base model small"),
        ("base_sha256", "0" * 64, "is for the base model tiny 000000000000…"),
    ],
)
def test_a_wrong_config_is_named(model: Model, adapter_path: Path, key: str, value: Any, said: str) -> None:
    change(adapter_path, lambda _, config: config.update({key: value}))
    assert said in str(refusal(adapter_path, model))


def test_a_layer_that_the_model_does_not_have_is_named(model: Model, adapter_path: Path) -> None:
    def rename(tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        config["layers"] = [layer.replace("inlet", "intake") for layer in config["layers"]]
        for side in ("down", "up"):
            tensors[f"backbone.intake.{side}"] = tensors.pop(f"{INLET}.{side}")

    change(adapter_path, rename)
    assert refusal(adapter_path, model).tensor == "backbone.intake.down"


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_a_truncated_file_is_refused(model: Model, adapter_path: Path, kept: int) -> None:
    adapter_path.write_bytes(adapter_path.read_bytes()[:kept])
    assert "is not a safetensors file" in str(refusal(adapter_path, model))


def test_a_flipped_bit_is_found_in_weights_and_config(model: Model, adapter_path: Path) -> None:
    whole = adapter_path.read_bytes()
    adapter_path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "sha256 of the content" in str(refusal(adapter_path, model))
    adapter_path.write_bytes(whole)
    change(adapter_path, lambda _, config: config.update(alpha=40.0), signed=False)
    assert "sha256 of the content" in str(refusal(adapter_path, model))


def test_what_is_no_adapter_at_all_is_refused(model: Model, tmp_path: Path, adapter_path: Path) -> None:
    assert "is missing from" in str(refusal(tmp_path / "nowhere.safetensors", model))
    save_file({"x": torch.zeros(1)}, adapter_path)
    assert 'has no JSON under "config"' in str(refusal(adapter_path, model))
    save_file({"x": torch.zeros(1)}, adapter_path, {"config": "[]"})
    assert '"format" is not' in str(refusal(adapter_path, model))
    tmp_path.joinpath("folder").mkdir()
    assert "is not a safetensors file" in str(refusal(tmp_path / "folder", model))


def test_a_config_nested_too_deeply_is_refused(adapter_path: Path) -> None:
    """Also at the one depth that the parser still manages, and the hash no more."""
    for depth in (*range(900, 1000), 100_000):
        nested = "[" * depth + "]" * depth
        save_file({}, adapter_path, {"config": f'{{"format": "{FORMAT}", "hint": {nested}}}'})
        with pytest.raises(CheckpointError):
            read_file(adapter_path)


def test_an_adapter_of_another_base_is_refused(model: Model, adapter_path: Path) -> None:
    with torch.no_grad():
        model.backbone.inlet.weight[0, 0] += 1.0
    assert "is for the base model" in str(refusal(adapter_path, model))


def test_what_is_not_finite_in_half_precision_is_not_written(model: Model, tmp_path: Path) -> None:
    adapter = made(model, "one", 1)
    weights = dict(adapter.weights)
    weights[INLET] = LowRank(weights[INLET].down_RI * 1e7, weights[INLET].up_OR)
    with pytest.raises(CheckpointError, match=r"backbone\.inlet\.down"):
        save_adapter(replace(adapter, weights=weights), tmp_path / "one.safetensors")
    assert not list(tmp_path.iterdir())
