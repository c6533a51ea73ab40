"""A release as runs again: nothing is lost on the way, and lessons go on from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecore_aiprod import AiprodPipeline, GenerationRequest, export, train
from edgecore_aiprod.captions import caption
from edgecore_aiprod.pipeline import shipped_checkpoint
from edgecore_aiprod.training.backbone import trained
from edgecore_aiprod.training.text import Reader, byte_level, said
from edgecore_aiprod.world import sample_scene

DISTILLED = """
preset = "nano"
clips = 2
batch = 2
rank = 2
alpha = 2.0
warmup = 1
log_every = 1
steered = 0.5
opened = 0.5

[[phase]]
name = "only"
steps = 2
rate = 1e-3
rate_end = 1e-3
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped release as runs."""
    runs = tmp_path_factory.mktemp("restored") / "runs"
    assert train.main(["restore", "--runs", str(runs)]) == 0
    return runs


def sums(folder: Path) -> dict[str, str]:
    files = json.loads((folder / "config.json").read_text())["files"]
    return {name: facts["sha256"] for name, facts in files.items()}


def test_exported_again_it_is_the_release_to_the_bit(runs: Path, tmp_path: Path) -> None:
    export.export(runs, tmp_path / "again", "nano")
    ours, theirs = sums(tmp_path / "again"), sums(shipped_checkpoint())
    assert ours == {name: theirs[name] for name in ours}
    assert {"vae.safetensors", "text.safetensors", "backbone.safetensors"} <= ours.keys()


@torch.inference_mode()
def test_the_prototypes_are_where_the_encoder_puts_captions(runs: Path) -> None:
    reader = Reader(byte_level("nano"))
    reader.load_state_dict(trained(runs / "text" / "state.pt"))
    rng = np.random.default_rng(77)
    told = [caption(sample_scene(rng), rng, 0.0) for _ in range(64)]
    truth_BQ = torch.tensor([said(one) for one in told])
    _, logits = reader([one.text for one in told])
    right = torch.stack([logit.argmax(-1) for logit in logits], dim=1) == truth_BQ
    assert right.float().mean() > 0.97


def test_a_run_that_is_there_is_not_written_over(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (runs / "vae" / "state.pt").read_bytes()
    assert train.main(["restore", "--runs", str(runs)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (runs / "vae" / "state.pt").read_bytes() == before


def test_a_distilled_variant_is_learned_on_it_and_exported(runs: Path, tmp_path: Path) -> None:
    config = tmp_path / "distilled.toml"
    config.write_text(DISTILLED)
    assert train.main(["distilled", "--config", str(config), "--runs", str(runs), "--quiet"]) == 0
    losses = [json.loads(line) for line in (runs / "distilled" / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 2
    assert losses[-1]["norm"] > 0.0
    export.export(runs, tmp_path / "release", "nano")
    pipeline = AiprodPipeline.from_pretrained(tmp_path / "release")
    asked = GenerationRequest("a red circle moving right", frames=5, steps=4)
    standard = pipeline(asked)
    assert (
        pipeline(GenerationRequest(asked.prompt, frames=5, steps=4, variant="distilled")).shape
        == standard.shape
    )
    assert np.array_equal(pipeline(asked), standard), "the adapter is off again"


def test_a_lesson_goes_on_from_restored_weights(runs: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.toml"
    text.write_text(
        'preset = "nano"\nbatch = 4\nwarmup = 1\nlog_every = 1\n'
        '[[phase]]\nname = "only"\nsteps = 1\nrate = 1e-6\nrate_end = 1e-6\nlanguages = 0.0\n'
    )
    assert train.main(["text", "--config", str(text), "--runs", str(runs), "--quiet"]) == 0
    line = json.loads((runs / "text" / "log.jsonl").read_text().splitlines()[-1])
    assert line["step"] == 1
    assert line["loss"] < 1.0
