"""Shared parts: a tiny untrained model for the mechanics, the shipped checkpoint for what it shows."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgecore_aiprod.adapter import Adapter, LowRank, save_adapter
from edgecore_aiprod.checkpoint import save_model
from edgecore_aiprod.lora import new_adapter
from edgecore_aiprod.model import Model, build_model, networks
from edgecore_aiprod.pipeline import AiprodPipeline, shipped_checkpoint
from edgecore_aiprod.presets import BackboneParams, ModelParams, TextParams, UpsamplerParams, VaeParams

TINY = ModelParams(
    name="tiny",
    vae=VaeParams(
        encoder=(8, 16, 16), decoder=(8, 16, 16), encoder_depth=1, decoder_depth=1, heads=2, latent=16
    ),
    text=TextParams(byte_width=8, width=16, depth=1, heads=2, registers=4, out=16),
    backbone=BackboneParams(blocks="AC", width=32, heads=2, feed_forward=32),
    upsampler=UpsamplerParams(width=8, low=1, high=1),
)


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


def make_tiny_model() -> Model:
    """Random weights everywhere, so that no zero-initialised layer hides what a test is about."""
    torch.manual_seed(1)
    model = build_model(TINY)
    for part in networks(model):
        for weight in getattr(model, part).parameters():
            weight.normal_(std=0.2)
    return model


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    return make_tiny_model()


@pytest.fixture
def tiny_folder(tmp_path: Path, tiny_model: Model) -> Path:
    folder = tmp_path / "tiny"
    save_model(tiny_model, folder, {})
    return folder


def sign(folder: Path, file: str) -> None:
    """Make config.json agree with a changed file, so that the checks behind the hash are reached."""
    config = json.loads((folder / "config.json").read_text())
    config["files"][file]["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_model: Model) -> AiprodPipeline:
    return AiprodPipeline(tiny_model)


@pytest.fixture(scope="session")
def shipped_pipeline() -> AiprodPipeline:
    assert shipped_checkpoint().is_dir(), "the package ships no checkpoint"
    return AiprodPipeline.from_pretrained()


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


@pytest.fixture
def adapter_path(model: Model, tmp_path: Path) -> Path:
    """The file of an adapter of `model`."""
    path = tmp_path / "one.safetensors"
    save_adapter(made(model, "one", 1), path)
    return path


@torch.inference_mode()
def seen(model: Model) -> Tensor:
    """What text encoder and backbone make of a fixed input."""
    x_BTHWC = torch.randn(1, 2, 2, 2, 16, generator=torch.Generator().manual_seed(0))
    y: Tensor = model.backbone(x_BTHWC, torch.tensor([0.5]), model.text.encode(["a red oval"]))
    return y
