"""What the lessons leave: curves, contact sheets, and a checkpoint that makes a clip."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgecore_aiprod import AiprodPipeline, GenerationRequest, export, generate, train
from edgecore_aiprod.video import write_mp4
from edgecore_aiprod.world import render, sample_scene

from .conftest import CONFIG, ORDER, picture, run, train_all


def test_curves_and_contact_sheets(runs: Path, config: Path, tmp_path: Path) -> None:
    for lesson in ORDER:
        assert picture(runs / lesson / "curves.png").std() > 5
    for lesson in ("vae", "backbone", "decoder"):
        assert sorted(path.name for path in (runs / lesson).glob("samples-*")) == [
            "samples-2.png",
            "samples-5.png",
        ]
    assert picture(runs / "vae" / "samples-5.png").shape == (6 * 64 * 2, 5 * 128 * 2, 3)
    assert picture(runs / "backbone" / "samples-5.png").shape == (8 * 64 * 2, 5 * 64 * 2, 3)
    (runs / "vae" / "curves.png").unlink()
    configs = str(runs.parent / "configs")
    assert train.main(["plot", "--configs", configs, "--runs", str(runs)]) == 0
    assert picture(runs / "vae" / "curves.png").std() > 5
    config.write_text("sample_every = 3\n" + CONFIG)
    run("vae", config, tmp_path, "--until", "4")
    assert sorted(path.name for path in (tmp_path / "vae").glob("samples-*")) == [
        "samples-2.png",
        "samples-3.png",
    ]


def test_all_says_what_it_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs, runs = tmp_path / "configs", tmp_path / "runs"
    configs.mkdir()
    assert train_all(configs, runs) == 2
    assert "holds none of vae.toml, text.toml" in capsys.readouterr().err
    (configs / "text.toml").write_text(CONFIG)
    (configs / "vae.toml").write_text(CONFIG)
    run("text", configs / "text.toml", runs, "--until", "1")
    capsys.readouterr()
    assert train_all(configs, runs) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"vae: starting at step 0 of 5, into {runs / 'vae'}"
    assert lines[1].startswith("vae: 5 steps in 0:0")
    assert lines[2] == f"text: going on at step 1 of 5, into {runs / 'text'}"
    assert lines[3].startswith("text: 4 steps in 0:0")
    (configs / "text.toml").write_text("")
    assert train_all(configs, runs) == 2


def test_the_backbone_learns_from_a_folder(
    runs: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data, cache = tmp_path / "out", tmp_path / "data", tmp_path / "cache"
    assert export.main(["--runs", str(runs), "-o", str(out), "--preset", "tiny"]) == 0
    data.mkdir()
    for seed in range(3):
        write_mp4(data / f"{seed}.mp4", render(sample_scene(np.random.default_rng(seed)), 9))
    (data / "captions.csv").write_text(
        "file,caption\n" + "".join(f"{seed}.mp4,clip {seed}\n" for seed in range(3))
    )
    arguments = ["prepare", "--data", str(data), "-o", str(cache), "--checkpoint", str(out), "--quiet"]
    capsys.readouterr()
    for encoded in (3, 0):
        assert train.main([*arguments, "--bucket", "9x48x64"]) == 0
        assert capsys.readouterr().out == f"{cache}: 3 clips, {encoded} of them encoded now\n"
    for lesson in ("vae", "text"):
        shutil.copytree(runs / lesson, tmp_path / "runs" / lesson)
    told = f'data = "{cache}"\nopened = 0.5\n{CONFIG}'
    config.write_text(told)
    assert run("backbone", config, tmp_path / "runs") == 0
    assert not (tmp_path / "runs" / "bank").exists()
    assert picture(tmp_path / "runs" / "backbone" / "samples-5.png").shape == (3 * 48 * 2, 5 * 64 * 2, 3)
    config.write_text(told.replace("opened = 0.5", "steered = 0.5"))
    assert run("backbone", config, tmp_path / "runs", "--force") == 1
    assert "has no motion fields: steered must be 0 in phase simple" in capsys.readouterr().err
    config.write_text(told.replace(str(cache), str(data)))
    assert run("backbone", config, tmp_path / "runs", "--force") == 1
    assert "index.jsonl: is missing" in capsys.readouterr().err
    (data / "1.mp4").unlink()
    assert train.main(arguments) == 1
    assert "captions.csv: line 3: 1.mp4: is missing" in capsys.readouterr().err


def test_the_lessons_make_a_checkpoint(
    runs: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("backbone", config, tmp_path / "empty") == 1
    assert "train `vae` first" in capsys.readouterr().err
    assert export.main(["--runs", str(runs), "-o", str(out), "--preset", "tiny"]) == 0
    video = AiprodPipeline.from_pretrained(out)(GenerationRequest("a red circle", frames=5, steps=1))
    assert video.shape == (5, 64, 64, 3)
    arguments = ["--checkpoint", str(out), "--steps", "1"]
    assert generate.main(["a red circle", "-o", str(tmp_path / "a.mp4"), "--frames", "5", *arguments]) == 0
    assert (tmp_path / "a.mp4").stat().st_size > 500
