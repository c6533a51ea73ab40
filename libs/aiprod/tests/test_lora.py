"""Adapters: attached, weighed, stacked, taken off to the bit, fused; refused whole when they do not fit."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgecore_aiprod import AiprodPipeline, CheckpointError, GenerationRequest, InvalidRequest
from edgecore_aiprod.adapter import Adapter, LowRank, content_sha256, save_adapter
from edgecore_aiprod.checkpoint import Model, load_model, save_model
from edgecore_aiprod.lora import (
    BACKBONE_LAYERS,
    attach,
    base_sha256,
    detach,
    fuse,
    linear_layers,
    new_adapter,
    read_adapter,
    set_scales,
)

INLET = "backbone.inlet"


@pytest.fixture
def model(tiny_model: Model) -> Model:
    """One of its own for each test, because attaching and fusing change it."""
    return copy.deepcopy(tiny_model)


def made(model: Model, name: str, seed: int, **more: Any) -> Adapter:
    """An adapter that changes something: `up` is random too. Its values are exact in float16."""
    torch.manual_seed(seed)
    adapter = new_adapter(model, 2, 4.0, name, **more)
    weights = {
        path: LowRank(*(torch.randn_like(weight).mul(0.1).half().float() for weight in pair))
        for path, pair in adapter.weights.items()
    }
    return replace(adapter, weights=weights)


@torch.inference_mode()
def seen(model: Model) -> Tensor:
    """What text encoder and backbone make of a fixed input."""
    x_BTHWC = torch.randn(1, 2, 2, 2, 16, generator=torch.Generator().manual_seed(0))
    y: Tensor = model.backbone(x_BTHWC, torch.tensor([0.5]), model.text.encode(["a red oval"]))
    return y


def test_a_new_adapter_is_on_every_layer_asked_for_and_changes_nothing(model: Model) -> None:
    before = seen(model)
    adapter = new_adapter(model, 2, 2.0)
    assert set(adapter.weights) == {
        *(f"backbone.{name}" for name in ("inlet", "outlet", "blocks.0.rise", "blocks.0.fall")),
        *(f"backbone.blocks.0.{name}" for name in ("attention.qkv", "attention.out")),
        *(f"backbone.blocks.0.cross.{name}" for name in ("q", "kv", "out")),
        *(f"backbone.blocks.1.{name}" for name in ("rise", "fall")),
        "text.fold",
        *(f"text.connector.blocks.0.{name}" for name in ("attention.qkv", "attention.out", "rise", "fall")),
    }
    attach(model, adapter)
    assert torch.equal(seen(model), before)
    only = new_adapter(model, 2, 2.0, layers=BACKBONE_LAYERS)
    assert all(path.startswith("backbone.") for path in only.weights)


def test_attaching_changes_the_output_and_detaching_restores_it_to_the_bit(model: Model) -> None:
    before, names = seen(model), list(model.backbone.state_dict())
    digest = base_sha256(model)
    attach(model, made(model, "one", 1))
    assert not torch.allclose(seen(model), before)
    assert list(model.backbone.state_dict()) == names
    assert base_sha256(model) == digest
    detach(model, "one")
    assert torch.equal(seen(model), before)
    assert model.adapters == {}


def test_several_with_scales_add_up(model: Model) -> None:
    """Seen on one layer, where adding up is exact but for rounding."""
    layer = linear_layers(model)[INLET]
    x_NI = torch.randn(5, layer.in_features)
    one, two = made(model, "one", 1), made(model, "two", 2)
    expected = layer(x_NI)
    for adapter, scale in ((one, 0.5), (two, -1.5)):
        down_RI, up_OR = adapter.weights[INLET]
        expected = expected + scale * 4.0 / 2 * x_NI @ down_RI.T @ up_OR.T
        attach(model, adapter, scale)
    torch.testing.assert_close(layer(x_NI), expected)
    detach(model, "one")
    attach(model, one, 0.5)
    torch.testing.assert_close(layer(x_NI), expected)


def test_a_scale_is_changed_in_place(model: Model) -> None:
    before = seen(model)
    attach(model, made(model, "one", 1))
    attach(model, made(model, "two", 2), 0.0)
    first = seen(model)
    set_scales(model, {"two": 1.0})
    second = seen(model)
    assert not torch.allclose(first, second)
    set_scales(model, {"one": 1.0})
    assert torch.equal(seen(model), first)
    set_scales(model, {})
    assert torch.equal(seen(model), before)


def test_fusing_equals_attaching(model: Model, tmp_path: Path) -> None:
    adapter = made(model, "one", 1)
    digest = base_sha256(model)
    attach(model, adapter, 0.7)
    attached = seen(model)
    with pytest.raises(InvalidRequest, match="detach it first"):
        fuse(model, adapter)
    detach(model, "one")
    fuse(model, adapter, 0.7)
    torch.testing.assert_close(seen(model), attached, atol=1e-4, rtol=1e-4)
    assert base_sha256(model) != digest
    save_model(model, tmp_path / "fused", {})
    torch.testing.assert_close(seen(load_model(tmp_path / "fused")), attached, atol=0.05, rtol=0.05)


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


def test_the_base_is_known_by_its_backbone_file(tmp_path: Path, model: Model) -> None:
    save_model(model, tmp_path, {})
    digest = hashlib.sha256((tmp_path / "backbone.safetensors").read_bytes()).hexdigest()
    assert base_sha256(model) == base_sha256(load_model(tmp_path)) == digest


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


@pytest.fixture
def path(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "one.safetensors"
    save_adapter(made(model, "one", 1), path)
    return path


def refusal(path: Path, model: Model) -> CheckpointError:
    before = seen(model)
    with pytest.raises(CheckpointError) as caught:
        attach(model, read_adapter(path, model))
    assert caught.value.file == path.name
    assert model.adapters == {}
    assert torch.equal(seen(model), before)
    return caught.value


DOWN = f"{INLET}.down"


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
    ],
)
def test_wrong_tensors_are_named(
    model: Model, path: Path, tensor: str, value: Tensor | None, said: str
) -> None:
    def edit(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        tensors.pop(tensor, None)
        if value is not None:
            tensors[tensor] = value

    change(path, edit)
    error = refusal(path, model)
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
        ("name", "../../etc", '"name" of its config'),
        ("layers", [], '"layers" of its config'),
        ("layers", "backbone.inlet", '"layers" of its config'),
        ("triggers", [1], '"triggers" of its config'),
        ("hint", None, '"hint" of its config'),
        ("base", "small", "is for the base model small"),
        ("base_sha256", "0" * 64, "is for the base model tiny 000000000000…"),
    ],
)
def test_a_wrong_config_is_named(model: Model, path: Path, key: str, value: Any, said: str) -> None:
    change(path, lambda _, config: config.update({key: value}))
    assert said in str(refusal(path, model))


def test_a_layer_that_the_model_does_not_have_is_named(model: Model, path: Path) -> None:
    def rename(tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        config["layers"] = [layer.replace("inlet", "intake") for layer in config["layers"]]
        for side in ("down", "up"):
            tensors[f"backbone.intake.{side}"] = tensors.pop(f"{INLET}.{side}")

    change(path, rename)
    assert refusal(path, model).tensor == "backbone.intake.down"


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_a_truncated_file_is_refused(model: Model, path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    assert "is not a safetensors file" in str(refusal(path, model))


def test_a_flipped_bit_is_found_in_weights_and_config(model: Model, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "sha256 of the content" in str(refusal(path, model))
    path.write_bytes(whole)
    change(path, lambda _, config: config.update(alpha=40.0), signed=False)
    assert "sha256 of the content" in str(refusal(path, model))


def test_what_is_no_adapter_at_all_is_refused(model: Model, tmp_path: Path, path: Path) -> None:
    assert "is missing from" in str(refusal(tmp_path / "nowhere.safetensors", model))
    save_file({"x": torch.zeros(1)}, path)
    assert 'has no JSON under "config"' in str(refusal(path, model))
    save_file({"x": torch.zeros(1)}, path, {"config": "[]"})
    assert '"format" is not' in str(refusal(path, model))
    tmp_path.joinpath("folder").mkdir()
    assert "is not a safetensors file" in str(refusal(tmp_path / "folder", model))


def test_an_adapter_of_another_base_is_refused(model: Model, path: Path) -> None:
    with torch.no_grad():
        model.backbone.inlet.weight[0, 0] += 1.0
    assert "is for the base model" in str(refusal(path, model))


def test_what_is_not_finite_in_half_precision_is_not_written(model: Model, tmp_path: Path) -> None:
    adapter = made(model, "one", 1)
    weights = dict(adapter.weights)
    weights[INLET] = LowRank(weights[INLET].down_RI * 1e7, weights[INLET].up_OR)
    with pytest.raises(CheckpointError, match=r"backbone\.inlet\.down"):
        save_adapter(replace(adapter, weights=weights), tmp_path / "one.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("rank", {"rank": 0}),
        ("rank", {"rank": 17}),
        ("rank", {"rank": 2.0}),
        ("alpha", {"alpha": 0.0}),
        ("alpha", {"alpha": float("inf")}),
        ("name", {"name": ""}),
        ("name", {"name": "a/b"}),
        ("layers", {"layers": ("vae.*",)}),
    ],
)
def test_an_adapter_that_makes_no_sense_is_refused(
    model: Model, field: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        new_adapter(model, **({"rank": 2, "alpha": 2.0} | arguments))
    assert caught.value.field == field


def test_names_and_scales_are_checked_before_anything_changes(model: Model) -> None:
    attach(model, made(model, "one", 1), 0.5)
    with pytest.raises(InvalidRequest, match="not attached yet"):
        attach(model, made(model, "one", 2))
    for scale in (float("nan"), float("inf"), "1", True):
        with pytest.raises(InvalidRequest, match="a finite number"):
            attach(model, made(model, "two", 2), scale)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="a finite number"):
            set_scales(model, {"one": scale})  # type: ignore[dict-item]
    with pytest.raises(InvalidRequest, match="one of those attached, \\['one'\\]"):
        set_scales(model, {"one": 1.0, "two": 1.0})
    with pytest.raises(InvalidRequest, match="one of those attached"):
        detach(model, "two")
    assert {name: attached.scale for name, attached in model.adapters.items()} == {"one": 0.5}


def test_the_pipeline_loads_weighs_and_unloads(model: Model, path: Path) -> None:
    pipeline = AiprodPipeline(model)
    request = GenerationRequest("a red oval", frames=5, steps=2)
    plain = pipeline(request)
    assert pipeline.load_adapter(path) == "one"
    loaded = pipeline(request)
    assert not np.array_equal(loaded, plain)
    assert pipeline.load_adapter(path, "again") == "again"
    pipeline.set_adapters({"again": 1.0})
    assert np.array_equal(pipeline(request), loaded)
    with pytest.raises(InvalidRequest, match="not attached yet"):
        pipeline.load_adapter(path)
    with pytest.raises(InvalidRequest, match="name: 1 to 64"):
        pipeline.load_adapter(path, "no/such")
    pipeline.unload_adapter("one")
    pipeline.unload_adapter("again")
    assert np.array_equal(pipeline(request), plain)
    with pytest.raises(InvalidRequest, match="one of those attached"):
        pipeline.unload_adapter("one")


def test_the_name_of_the_distilled_variant_is_taken(model: Model, path: Path) -> None:
    pipeline = AiprodPipeline(replace(model, distilled=made(model, "fast", 2, layers=BACKBONE_LAYERS)))
    with pytest.raises(InvalidRequest, match="not taken"):
        pipeline.load_adapter(path, "fast")
    assert pipeline.model.adapters == {}
