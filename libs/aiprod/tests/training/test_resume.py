"""A run that was stopped or killed goes on to the bit; a state that is not its own is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from edgecore_aiprod.training.config import read_config

from .conftest import CONFIG, ORDER, run, state_of, steps_logged


def assert_equal(one: Path, other: Path) -> None:
    mine, theirs = state_of(one), state_of(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


@pytest.mark.parametrize("lesson", ORDER)
def test_a_stopped_run_resumes_to_the_bit(runs: Path, config: Path, tmp_path: Path, lesson: str) -> None:
    parts = tmp_path / "parts"
    for needed in ("vae", "text"):
        if lesson not in ("vae", "text"):
            shutil.copytree(runs / needed, parts / needed)
    for until in ("1", "3", "5"):
        assert run(lesson, config, parts, "--until", until) == 0
    assert_equal(runs / lesson, parts / lesson)
    assert steps_logged(parts / lesson) == [1, 2, 3, 4, 5]


def test_a_killed_run_loses_only_what_was_not_saved(runs: Path, config: Path, tmp_path: Path) -> None:
    for until in ("2", "3"):
        run("text", config, tmp_path / until, "--until", until)
    shutil.copy(tmp_path / "3" / "text" / "log.jsonl", tmp_path / "2" / "text" / "log.jsonl")
    with (tmp_path / "2" / "text" / "log.jsonl").open("a") as log:
        log.write('{"step": 4, "lo')
    assert run("text", config, tmp_path / "2") == 0
    assert_equal(runs / "text", tmp_path / "2" / "text")
    assert steps_logged(tmp_path / "2" / "text") == [1, 2, 3, 4, 5]


def test_a_kill_between_state_and_its_facts_is_mended(runs: Path, config: Path, tmp_path: Path) -> None:
    run("text", config, tmp_path, "--until", "2")
    folder = tmp_path / "text"
    before = (folder / "state.json").read_bytes()
    run("text", config, tmp_path, "--until", "3")
    os.replace(folder / "state.json", folder / "state.json.partial")
    (folder / "state.json").write_bytes(before)
    assert run("text", config, tmp_path) == 0
    assert_equal(runs / "text", folder)


def test_the_state_says_what_it_is(runs: Path, config: Path) -> None:
    facts = json.loads((runs / "vae" / "state.json").read_text())
    assert facts["step"] == 5
    assert facts["phase"] == "complex"
    assert facts["config"] == read_config(config).digest
    assert facts["torch"] == torch.__version__
    assert facts["seconds"] > 0
    assert facts["past"]["phases"][0] == {
        "name": "simple",
        "steps": 2,
        "rate": 1e-3,
        "rate_end": 1e-3,
        "batch": 2,
        "frames": [5],
    }


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda state, facts: state.write_bytes(state.read_bytes()[:-9]), "state.pt: is cut off or not this"),
        (lambda state, facts: facts.unlink(), "state.pt: state.json is missing"),
        (lambda state, facts: facts.write_text("{}"), "state.json: cannot be read"),
        (lambda state, facts: facts.write_text("["), "state.json: cannot be read"),
    ],
)
def test_a_spoilt_state_is_refused(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: object, said: str
) -> None:
    run("text", config, tmp_path, "--until", "2")
    folder = tmp_path / "text"
    spoil(folder / "state.pt", folder / "state.json")  # type: ignore[operator]
    kept = (folder / "state.pt").read_bytes()
    capsys.readouterr()
    assert run("text", config, tmp_path) == 1
    assert said in capsys.readouterr().err
    assert (folder / "state.pt").read_bytes() == kept
    cut_off = "cut off" in said
    assert run("text", config, tmp_path, "--force") == (1 if cut_off else 0)
    assert ("cannot be loaded" in capsys.readouterr().err) == cut_off


def test_another_lessons_state_is_refused(
    runs: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "text", tmp_path / "vae")
    longer = config.with_name("longer.toml")
    longer.write_text(CONFIG + '\n[[phase]]\nname = "more"\nsteps = 1\nrate = 1e-3\nrate_end = 0\n')
    assert run("vae", longer, tmp_path) == 1
    assert "holds the state of another model" in capsys.readouterr().err


def test_only_phases_to_come_may_change(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("text", config, tmp_path, "--until", "2")
    config.write_text(CONFIG.replace("rate_end = 1e-4", "rate_end = 0"))
    assert run("text", config, tmp_path, "--until", "3") == 0
    capsys.readouterr()
    for old, new, said in (
        ("rate_end = 1e-3", "rate_end = 2e-3", "the phases begun must be the same"),
        ("rate_end = 1e-4", "rate_end = 1e-5", "the phases begun must be the same"),
        ("threads = 1", "threads = 1\nseed = 1", "seed and the phases begun must be the same"),
    ):
        config.write_text(CONFIG.replace(old, new))
        assert run("text", config, tmp_path) == 1
        assert f"state.json: 3 steps were trained under another configuration: {said}" in (
            capsys.readouterr().err
        )
    assert run("text", config, tmp_path, "--force") == 0
    assert steps_logged(tmp_path / "text") == [1, 2, 3, 4, 5]


def test_a_finished_run_is_left_as_it_is(
    runs: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "text", tmp_path / "text")
    when = (tmp_path / "text" / "state.pt").stat().st_mtime_ns
    assert run("text", config, tmp_path) == 0
    assert capsys.readouterr().out == "text: has its 5 steps\n"
    assert (tmp_path / "text" / "state.pt").stat().st_mtime_ns == when
