"""The trainer: resumes to the bit, refuses nonsense, and its three runs make a checkpoint that loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edgecore_aiprod import AiprodPipeline, GenerationRequest, evaluate, export, generate, train
from edgecore_aiprod.training.config import read_config
from edgecore_aiprod.training.loop import learning_rate

TINY = """
preset = "nano"
steps = 4
batch = 2
rate = 1e-3
rate_end = 1e-4
warmup = 2
frames = [5]
clips = 2
save_every = 2
log_every = 1
"""
CONFIGS = Path(__file__).parents[1] / "configs" / "nano"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def run(lesson: str, config: Path, runs: Path, *more: str) -> dict[str, torch.Tensor]:
    assert train.main([lesson, "--config", str(config), "--runs", str(runs), "--quiet", *more]) == 0
    weights: dict[str, torch.Tensor] = torch.load(runs / lesson / "state.pt", weights_only=True)["model"]
    return weights


@pytest.mark.parametrize("lesson", ["vae", "text"])
def test_a_stopped_run_resumes_to_the_bit(config: Path, tmp_path: Path, lesson: str) -> None:
    whole = run(lesson, config, tmp_path / "whole")
    run(lesson, config, tmp_path / "parts", "--until", "2")
    parts = run(lesson, config, tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    lines = (tmp_path / "parts" / lesson / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_three_lessons_make_a_checkpoint(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    with pytest.raises(FileNotFoundError, match="train `vae` first"):
        run("backbone", config, runs)
    for lesson in ("vae", "text", "backbone"):
        run(lesson, config, runs)
    assert export.main(["--runs", str(runs), "-o", str(out)]) == 0
    video = AiprodPipeline.from_pretrained(out)(GenerationRequest("a red circle", frames=5, steps=1))
    assert video.shape == (5, 64, 64, 3)
    arguments = ["--checkpoint", str(out), "--steps", "1"]
    assert generate.main(["a red circle", "-o", str(tmp_path / "a.mp4"), "--frames", "5", *arguments]) == 0
    assert (tmp_path / "a.mp4").stat().st_size > 500
    capsys.readouterr()
    for more in ([], ["--reconstructions"], ["--locale", "fr"]):
        assert evaluate.main(["--prompts", "2", "--json", *arguments, *more]) == 0
        assert 0 <= json.loads(capsys.readouterr().out)["all"] <= 1


def test_a_missing_checkpoint_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["a red circle", "--checkpoint", str(tmp_path)]) == 1
    assert evaluate.main(["--checkpoint", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("config.json: is missing") == 2


def test_the_schedule_warms_up_and_cools_down(config: Path) -> None:
    settings = read_config(config, steps=102)
    rates = [learning_rate(settings, step) for step in range(102)]
    assert rates[:2] == [5e-4, 1e-3]
    assert rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(1e-4, rel=0.05)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("batch = 2", "batch = 0", "batch: at least 1"),
        ('"nano"', '"mega"', "preset: one of"),
        ("[5]", "[6]", "frames: each 4k"),
        ("warmup", "warm_up", "unknown keys"),
        ("steps = 4", "steps = ", "Invalid value"),
    ],
)
def test_a_wrong_config_is_named(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    config.write_text(TINY.replace(old, new))
    assert train.main(["vae", "--config", str(config), "--runs", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_the_committed_configs_are_valid() -> None:
    for lesson in train.LESSONS:
        assert read_config(CONFIGS / f"{lesson}.toml").preset == "nano"


@pytest.mark.parametrize("main", [train.main, export.main, evaluate.main, generate.main])
def test_every_command_explains_itself(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])  # type: ignore[operator]
    assert ended.value.code == 0
    assert "python -m edgecore_aiprod." in capsys.readouterr().out
