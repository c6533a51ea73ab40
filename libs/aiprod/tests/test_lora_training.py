"""The lesson of an adapter: resumes to the bit, leaves its base alone, and ends as a file that loads."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgecore_aiprod import TrainingError, export, train
from edgecore_aiprod.checkpoint import load_model, save_model
from edgecore_aiprod.lora import attach, base_sha256, read_adapter
from edgecore_aiprod.model import build_model
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.training import demo_object
from edgecore_aiprod.training.config import read_config
from edgecore_aiprod.training.folder import INDEX, LATENTS, Entry
from edgecore_aiprod.training.footage import Bucket, measure
from edgecore_aiprod.training.loop import Trainer
from edgecore_aiprod.training.lora import LoraLesson, trained_adapter

CONFIGS = Path(__file__).parents[1] / "configs" / "nano"
TINY = """
preset = "nano"
data = "{place}/latents"
base = "{place}/base"
rank = 2
alpha = 4.0
clips = 2
batch = 2
warmup = 1
threads = 1
save_every = 2
log_every = 1

[[phase]]
name = "only"
steps = 4
rate = 1e-2
rate_end = 1e-3
opened = 0.5
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of nano's shape with random weights, three clips of a folder as latents, and a config."""
    place = tmp_path_factory.mktemp("lora")
    torch.manual_seed(0)
    model = build_model(PRESETS["nano"])
    for layer in (model.backbone.change, model.backbone.last, model.backbone.outlet):
        layer.weight.normal_(std=0.02)
    save_model(model, place / "base", {})
    write_latents(place / "latents", channels=256)
    (place / "lora.toml").write_text(TINY.format(place=place))
    return place


def write_latents(folder: Path, channels: int) -> None:
    folder.mkdir()
    entries = [Entry(f"{n}.mp4", "a red oval", Bucket(5, 64, 64), "", f"{n}.safetensors") for n in range(3)]
    for entry in entries:
        save_file({LATENTS: torch.randn(2, 4, 4, channels).bfloat16()}, folder / entry.latents)
    (folder / INDEX).write_text("".join(f"{entry.to_json()}\n" for entry in entries))


def trained_state(place: Path, runs: Path, *more: str) -> dict[str, torch.Tensor]:
    config = str(place / "lora.toml")
    assert train.main(["lora", "--config", config, "--runs", str(runs), "--quiet", *more]) == 0
    state: dict[str, torch.Tensor] = torch.load(runs / "lora" / "state.pt", weights_only=True)["model"]
    return state


def test_a_stopped_run_resumes_to_the_bit_and_becomes_a_file(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained_state(place, tmp_path / "whole")
    trained_state(place, tmp_path / "parts", "--until", "2")
    parts = trained_state(place, tmp_path / "parts")
    assert whole.pop("_extra_state") == parts.pop("_extra_state")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert all(weight.any() for name, weight in whole.items() if name.endswith("up"))

    path = tmp_path / "oval.safetensors"
    arguments = ["--runs", str(tmp_path / "whole"), "-o", str(path), "--trigger", "oval"]
    assert export.main([*arguments, "--lora", "no/such"]) == 1
    assert "name: 1 to 64" in capsys.readouterr().err
    assert export.main([*arguments, "--lora", "oval", "--hint", "a red oval moving right"]) == 0
    assert path.name in capsys.readouterr().out
    base = load_model(place / "base")
    adapter = read_adapter(path, base)
    assert (adapter.name, adapter.rank, adapter.alpha) == ("oval", 2, 4.0)
    assert (adapter.triggers, adapter.hint) == (("oval",), "a red oval moving right")
    before = base.text.encode(["a red oval"])
    attach(base, adapter)
    assert not torch.allclose(base.text.encode(["a red oval"]), before)


def test_only_the_adapter_learns_and_only_from_its_own_base(place: Path, tmp_path: Path) -> None:
    config = read_config(place / "lora.toml")
    lesson = LoraLesson(config, tmp_path)
    digest = base_sha256(lesson.base)
    trainer = Trainer(lesson, config, tmp_path / "lora")
    first, second = trainer.advance(), trainer.advance()
    assert first["new"] > 0
    assert first["old"] == 0  # an adapter that has learned nothing leads nowhere
    assert second["old"] > 0
    assert base_sha256(lesson.base) == digest
    trainer.save()
    assert trained_adapter(tmp_path / "lora", "one").base_sha256 == digest
    lesson.model.facts["base_sha256"] = "another"
    with pytest.raises(TrainingError, match="it was trained on"):
        trainer.resume()


def test_a_run_of_another_lesson_is_no_adapter(tmp_path: Path) -> None:
    state = {"model": {}, "ema": {"inlet.weight": torch.zeros(1)}, "optimiser": {}, "step": 1}
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(TrainingError, match="is not of the lesson lora"):
        trained_adapter(tmp_path, "one")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("/latents", "/nowhere", "is missing: make it with `train prepare`"),
        ("/latents", "/narrow", "has 16 channels, encoded by another model"),
        ("/base", "/nowhere", "config.json: is missing"),
        ('"nano"', '"small"', "is a nano, the lesson is for small"),
        ("rank = 2", "rank = 0", "rank: at least 1"),
        ("rank = 2", "rank = 1000", "smallest side, 128"),
        ("alpha = 4.0", "alpha = 0.0", "alpha: a finite number above 0"),
        ("opened = 0.5", "preserve = 1.5", "preserve: from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    if not (place / "narrow").exists():
        write_latents(place / "narrow", channels=16)
    config = tmp_path / "lora.toml"
    config.write_text(TINY.format(place=place).replace(old, new))
    assert train.main(["lora", "--config", str(config), "--runs", str(tmp_path), "--quiet"]) in (1, 2)
    assert said in capsys.readouterr().err


def test_the_demonstration_is_a_folder_as_a_user_would_bring(tmp_path: Path) -> None:
    assert demo_object.main(["-o", str(tmp_path / "oval"), "--clips", "10"]) == 0
    with (tmp_path / "oval" / "captions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["file"] for row in rows}) == len(rows) == 10
    assert all("oval" in row["caption"].lower() or "ellipse" in row["caption"].lower() for row in rows)
    assert measure(tmp_path / "oval" / rows[0]["file"], 17) == (17, 64, 64)


def test_the_committed_config_is_valid() -> None:
    config = read_config(CONFIGS / "lora.toml")
    assert config.preset == "nano"
    assert 0.0 < config.phases[0].preserve < 1.0
