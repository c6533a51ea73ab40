"""The second stage's upsampler: what it starts as, its size, its lesson, and checkpoints without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edgecore_aiprod import CheckpointError, train
from edgecore_aiprod.checkpoint import load_model
from edgecore_aiprod.presets import PRESETS, UpsamplerParams
from edgecore_aiprod.training.config import read_config
from edgecore_aiprod.training.upsampler import UpsamplerLesson
from edgecore_aiprod.upsampler import LatentUpsampler
from edgecore_aiprod.vae import VideoVae

CONFIG = """
preset = "nano"
warmup = 1
batch = 2
clips = 2
log_every = 1

[[phase]]
name = "only"
steps = 2
rate = 1e-3
rate_end = 1e-4
structure = 1.0
"""


@torch.inference_mode()
def test_it_starts_as_repetition() -> None:
    model = LatentUpsampler(UpsamplerParams(width=8, low=1, high=1), 16)
    z_BTHWC = torch.randn(2, 3, 4, 5, 16)
    y_BTHWC = model(z_BTHWC)
    assert y_BTHWC.shape == (2, 3, 8, 10, 16)
    for row in (0, 1):
        for column in (0, 1):
            assert torch.equal(y_BTHWC[:, :, row::2, column::2], z_BTHWC)


def test_nanos_is_small() -> None:
    params = PRESETS["nano"].upsampler
    assert params is not None
    assert sum(weight.numel() for weight in LatentUpsampler(params, 256).parameters()) <= 0.9e6


def test_its_lesson_trains_it_alone(tmp_path: Path) -> None:
    config, runs = tmp_path / "upsampler.toml", tmp_path / "runs"
    config.write_text(CONFIG)
    (runs / "vae").mkdir(parents=True)
    vae = VideoVae(PRESETS["nano"].vae)
    torch.save({"ema": vae.state_dict()}, runs / "vae" / "state.pt")
    assert train.main(["upsampler", "--config", str(config), "--runs", str(runs), "--quiet"]) == 0
    lines = (runs / "upsampler" / "log.jsonl").read_text().splitlines()
    assert {"loss", "latent", "absolute", "ssim"} <= json.loads(lines[-1]).keys()
    weights = torch.load(runs / "upsampler" / "state.pt", weights_only=True)["model"]
    assert weights["outlet.conv.weight"].any()
    lesson = UpsamplerLesson(read_config(config), runs)
    assert lesson.small.latents_NTHWC.shape == (2, 5, 4, 4, 256)
    assert lesson.large.latents_NTHWC.shape == (2, 5, 8, 8, 256)
    assert [scene.centre for scene in lesson.small.scenes] == [scene.centre for scene in lesson.large.scenes]
    assert all(torch.equal(vae.state_dict()[name], value) for name, value in lesson.vae.state_dict().items())


def test_a_preset_without_one_has_no_lesson(tmp_path: Path) -> None:
    config = tmp_path / "upsampler.toml"
    config.write_text(CONFIG.replace("nano", "small"))
    with pytest.raises(ValueError, match="with an upsampler"):
        UpsamplerLesson(read_config(config), tmp_path)


def change(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    for part, value in changes.items():
        config[part].pop("upsampler" if part == "params" else "upsampler.safetensors")
        assert value is None
    (folder / "config.json").write_text(json.dumps(config))


def test_a_checkpoint_may_lack_it_but_must_describe_it(tiny_folder: Path) -> None:
    assert load_model(tiny_folder).upsampler is not None
    (tiny_folder / "upsampler.safetensors").rename(tiny_folder / "away")
    with pytest.raises(CheckpointError, match=r"upsampler\.safetensors: is missing"):
        load_model(tiny_folder)
    (tiny_folder / "away").rename(tiny_folder / "upsampler.safetensors")
    change(tiny_folder, params=None)
    with pytest.raises(CheckpointError, match="do not describe the upsampler"):
        load_model(tiny_folder)
    change(tiny_folder, files=None)
    assert load_model(tiny_folder).upsampler is None
