"""A tiny model trained by every lesson, and what the tests of the trainer ask of a run."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from edgecore_aiprod import train
from edgecore_aiprod.presets import PRESETS, BackboneParams, ModelParams, TextParams, VaeParams

TINY = ModelParams(
    name="tiny",
    vae=VaeParams(
        encoder=(8, 16, 16), decoder=(8, 16, 16), encoder_depth=1, decoder_depth=1, heads=2, latent=16
    ),
    text=TextParams(byte_width=8, width=16, depth=1, heads=2, registers=6, out=16),
    backbone=BackboneParams(blocks="AC", width=32, heads=2, feed_forward=32),
)
CONFIG = """
preset = "tiny"
warmup = 2
batch = 2
clips = 4
threads = 1
save_every = 2
log_every = 1
frames = [5]

[[phase]]
name = "simple"
steps = 2
rate = 1e-3
rate_end = 1e-3

[[phase]]
name = "complex"
steps = 3
rate = 1e-3
rate_end = 1e-4
accumulate = 2
"""
ORDER = ("vae", "text", "backbone", "decoder")


@pytest.fixture(autouse=True)
def _tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All lessons of the tiny model, by the one command."""
    folder = tmp_path_factory.mktemp("trained")
    configs = folder / "configs"
    configs.mkdir()
    for lesson in ORDER:
        (configs / f"{lesson}.toml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        assert train_all(configs, folder / "runs") == 0
    return folder / "runs"


def train_all(configs: Path, runs: Path) -> int:
    return train.main(["all", "--configs", str(configs), "--runs", str(runs), "--quiet"])


def run(lesson: str, config: Path, runs: Path, *more: str) -> int:
    return train.main([lesson, "--config", str(config), "--runs", str(runs), "--quiet", *more])


def state_of(run: Path) -> dict[str, Tensor]:
    """Every number of a state under a name."""
    state = torch.load(run / "state.pt", weights_only=True)
    moments = {
        f"{number}.{name}": value
        for number, values in state["optimiser"]["state"].items()
        for name, value in values.items()
    }
    averaged = {f"ema.{name}": value for name, value in state["ema"].items()}
    return {**state["model"], **averaged, **moments, "step": torch.tensor(state["step"])}


def steps_logged(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


def picture(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")
