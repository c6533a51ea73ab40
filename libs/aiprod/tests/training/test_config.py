"""A lesson's configuration: its rates, and the sentence for each thing wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecore_aiprod.training.config import read_config

from .conftest import CONFIG, ORDER, run

CONFIGS = Path(__file__).parents[2] / "configs" / "nano"


def test_the_rate_warms_up_and_falls_from_phase_to_phase(config: Path) -> None:
    settings = read_config(config, steps=100)
    assert [phase.steps for phase in settings.phases] == [40, 60]
    rates = [settings.rate(step) for step in range(100)]
    assert rates[:2] == [5e-4, 1e-3]
    assert rates[1:40] == [1e-3] * 39
    assert rates[40:] == sorted(rates[40:], reverse=True)
    assert rates[-1] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("batch = 2", "batch = 0", "phase simple: batch: at least 1, not 0"),
        ("steps = 3", "steps = 0", "phase complex: steps: at least 1, not 0"),
        ("steps = 3", 'steps = "3"', "phase complex: steps: a whole number, not '3'"),
        ("steps = 3", "steps = true", "phase complex: steps: a whole number, not True"),
        ("rate_end = 1e-4", "", "phase complex: rate_end: is missing"),
        ("rate_end = 1e-4", "rate_end = nan", "phase complex: rate_end: a finite number"),
        ("rate_end = 1e-4", "rate_end = -1.0", "phase complex: rate_end: at least 0"),
        ("accumulate = 2", "plain = 1.5", "phase complex: plain: from 0 to 1"),
        ("accumulate = 2", "speed = 2", "phase complex: unknown key 'speed'; there are name, steps"),
        ("accumulate = 2", "sides = []", "phase complex: sides: a list of at least one whole number"),
        ("accumulate = 2", "sides = 64", "phase complex: sides: a list of at least one whole number"),
        ("accumulate = 2", "sides = [60]", "phase complex: sides: each a multiple of 16"),
        ("accumulate = 2", "shifts = [0.0, 1]", "phase complex: shifts: each above 0"),
        ("accumulate = 2", "shifts = [1.0]", "phase complex: shifts: a list of two finite numbers"),
        ('name = "simple"', "", "phase 1: name: is missing"),
        ('"tiny"', '"mega"', "preset: one of"),
        ('preset = "tiny"', "", "preset: is missing"),
        ("[5]", "[6]", "phase simple: frames: each 4k"),
        ("warmup = 2", "warmup = -1", "warmup: at least 0"),
        ("warmup = 2", "clip = 0", "clip: above 0"),
        ("warmup", "warm_up", "unknown key 'warm_up'"),
        ("warmup = 2", 'digest = "a"', "unknown key 'digest'"),
        ("batch = 2", "batch = ", "Invalid value"),
        (CONFIG[CONFIG.index("[[") :], "", "phase: at least one [[phase]]"),
        (CONFIG[CONFIG.index("[[") :], "phase = 3", "phase: must be [[phase]] tables"),
    ],
)
def test_a_wrong_config_is_named(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    assert old in CONFIG
    config.write_text(CONFIG.replace(old, new))
    assert run("vae", config, tmp_path) == 2
    assert f"{config}: {said}" in capsys.readouterr().err
    assert not (tmp_path / "vae").exists()


def test_a_config_that_is_no_text(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("vae", tmp_path / "none.toml", tmp_path) == 2
    config.write_bytes(b"\xff")
    assert run("vae", config, tmp_path) == 2
    assert run("vae", config, tmp_path, "--steps", "1") == 2
    assert "none.toml" in capsys.readouterr().err


def test_the_committed_configs_are_valid() -> None:
    for lesson in ORDER:
        assert read_config(CONFIGS / f"{lesson}.toml").preset == "nano"
    for path in CONFIGS.glob("*.toml"):
        assert read_config(path).steps > 0
