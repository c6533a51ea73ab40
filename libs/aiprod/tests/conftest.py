"""Shared parts: a tiny untrained model for the mechanics, the shipped checkpoint for what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgecore_aiprod.checkpoint import Model, build_model, networks, save_model
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


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_model: Model) -> AiprodPipeline:
    return AiprodPipeline(tiny_model)


@pytest.fixture(scope="session")
def shipped_pipeline() -> AiprodPipeline:
    assert shipped_checkpoint().is_dir(), "the package ships no checkpoint"
    return AiprodPipeline.from_pretrained()
