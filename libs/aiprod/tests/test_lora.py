"""Adapters on a model: attached, weighed, stacked, taken off to the bit, fused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgecore_aiprod import AiprodPipeline, GenerationRequest, InvalidRequest
from edgecore_aiprod.checkpoint import load_model, save_model
from edgecore_aiprod.errors import CheckpointError
from edgecore_aiprod.lora import (
    BACKBONE_LAYERS,
    attach,
    base_sha256,
    detach,
    fuse,
    linear_layers,
    new_adapter,
    set_scales,
)
from edgecore_aiprod.model import Model

from .conftest import made, seen

INLET = "backbone.inlet"


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


def test_a_distilled_variant_of_another_backbone_is_not_saved(model: Model, tmp_path: Path) -> None:
    distilled = replace(model, distilled=made(model, "distilled", 3))
    fuse(distilled, made(model, "one", 1))
    with pytest.raises(CheckpointError, match=r"distilled\.safetensors.*of another backbone"):
        save_model(distilled, tmp_path / "fused", {})
    assert not (tmp_path / "fused").exists()
    save_model(replace(distilled, distilled=None), tmp_path / "fused", {})


def test_the_base_is_known_by_its_backbone_file(tmp_path: Path, model: Model) -> None:
    save_model(model, tmp_path, {})
    digest = hashlib.sha256((tmp_path / "backbone.safetensors").read_bytes()).hexdigest()
    assert base_sha256(model) == base_sha256(load_model(tmp_path)) == digest


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


def test_the_pipeline_loads_weighs_and_unloads(model: Model, adapter_path: Path) -> None:
    pipeline = AiprodPipeline(model)
    request = GenerationRequest("a red oval", frames=5, steps=2)
    plain = pipeline(request)
    assert pipeline.load_adapter(adapter_path) == "one"
    loaded = pipeline(request)
    assert not np.array_equal(loaded, plain)
    assert pipeline.load_adapter(adapter_path, "again") == "again"
    pipeline.set_adapters({"again": 1.0})
    assert np.array_equal(pipeline(request), loaded)
    with pytest.raises(InvalidRequest, match="not attached yet"):
        pipeline.load_adapter(adapter_path)
    with pytest.raises(InvalidRequest, match="name: 1 to 64"):
        pipeline.load_adapter(adapter_path, "no/such")
    pipeline.unload_adapter("one")
    pipeline.unload_adapter("again")
    assert np.array_equal(pipeline(request), plain)
    with pytest.raises(InvalidRequest, match="one of those attached"):
        pipeline.unload_adapter("one")


def test_the_name_of_the_distilled_variant_is_taken(model: Model, adapter_path: Path) -> None:
    pipeline = AiprodPipeline(replace(model, distilled=made(model, "fast", 2, layers=BACKBONE_LAYERS)))
    with pytest.raises(InvalidRequest, match="not taken"):
        pipeline.load_adapter(adapter_path, "fast")
    assert pipeline.model.adapters == {}
