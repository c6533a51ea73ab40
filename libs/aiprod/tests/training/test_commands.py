"""The commands: each explains itself and says in a sentence what is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgecore_aiprod import evaluate, export, generate, train
from edgecore_aiprod.training.config import read_config


@pytest.mark.parametrize("main", [train.main, export.main, evaluate.main, generate.main])
def test_every_command_explains_itself(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])  # type: ignore[operator]
    assert ended.value.code == 0
    assert "python -m edgecore_aiprod." in capsys.readouterr().out


def test_a_missing_checkpoint_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare = [
        "prepare",
        "--data",
        str(tmp_path),
        "-o",
        str(tmp_path / "cache"),
        "--checkpoint",
        str(tmp_path),
    ]
    assert generate.main(["a red circle", "--checkpoint", str(tmp_path)]) == 1
    assert evaluate.main(["--checkpoint", str(tmp_path)]) == 1
    assert train.main(prepare) == 1
    assert capsys.readouterr().err.count("config.json: is missing") == 3


def test_an_unknown_preset_is_named_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        export.main(["--preset", "huge", "-o", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert "huge" in said
    assert "nano" in said
    assert not (tmp_path / "out").exists()
    config = tmp_path / "run.toml"
    config.write_text('preset = "huge"\n[[phase]]\nname="a"\nsteps=1\nrate=1.0\nrate_end=1.0\nbatch=1\n')
    with pytest.raises(ValueError, match=r"preset: one of.*nano.*huge"):
        read_config(config)


def test_a_device_that_is_not_there(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        train.main(["vae", "--config", str(config), "--device", "cuda"])
    assert "--device: this machine offers cpu only" in capsys.readouterr().err
