"""A release folder: what is in it, that it comes back to the bit, and that nothing asks a network."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_aiprod.card import main as write_card
from edgecore_aiprod.card import model_card
from edgecore_aiprod.checkpoint import load_model, save_model
from edgecore_aiprod.model import Model, build_model
from edgecore_aiprod.presets import PRESETS, UpsamplerParams

TRAINING = {"vae": {"step": 40, "loss": 0.5}, "backbone": {"step": 70, "loss": 0.25, "hours": 2.5}}
EVALUATION = [{"name": "model-languages", "value": 91.5, "unit": "%", "target": 90, "n": 400}]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(socket.socket):
        def __init__(self, *_: object, **__: object) -> None:
            refuse()

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a socket was asked for")

    monkeypatch.setattr(socket, "socket", Closed)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def whole_model(tiny_model: Model) -> Model:
    """With what a folder may hold beside the three networks."""
    torch.manual_seed(3)
    return build_model(replace(tiny_model.params, upsampler=UpsamplerParams(width=8, low=1, high=1)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_save_and_load_are_stable_to_the_bit(whole_model: Model, tmp_path: Path) -> None:
    save_model(whole_model, tmp_path / "one", TRAINING, EVALUATION)
    first = AiprodPipeline.from_pretrained(tmp_path / "one")
    first.save_pretrained(tmp_path / "two")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    AiprodPipeline.from_pretrained(str(tmp_path / "two")).save_pretrained(str(tmp_path / "two"))
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    again = AiprodPipeline.from_pretrained(tmp_path / "two")
    for part in ("vae", "text", "backbone", "upsampler"):
        one, other = (getattr(pipeline.model, part).state_dict() for pipeline in (first, again))
        assert all(torch.equal(value, other[name]) for name, value in one.items()), part
    request = GenerationRequest("a red circle", frames=5, steps=2)
    assert np.array_equal(first(request), again(request))


def test_nanos_own_sizes_are_stable_too(tmp_path: Path) -> None:
    torch.manual_seed(4)
    save_model(build_model(PRESETS["nano"]), tmp_path / "one")
    save_model(load_model(tmp_path / "one"), tmp_path / "two")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_the_folder_holds_all_that_a_hub_shows(whole_model: Model, tmp_path: Path) -> None:
    save_model(whole_model, tmp_path, TRAINING, EVALUATION)
    weights = {f"{part}.safetensors" for part in ("vae", "text", "backbone", "upsampler")}
    assert set(contents(tmp_path)) == {"config.json", "README.md", "LICENSE"} | weights
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["training"] == TRAINING
    assert config["evaluation"] == EVALUATION
    assert set(config["files"]) == weights
    assert "Apache License" in (tmp_path / "LICENSE").read_text()
    _, front, card = (tmp_path / "README.md").read_text().split("---\n", 2)
    matter = dict(line.split(": ", 1) for line in front.splitlines() if ": " in line)
    assert matter["license"] == "apache-2.0"
    assert matter["pipeline_tag"] == "text-to-video"
    assert matter["library_name"] == "edgecore-aiprod"
    for section in ("## Files", "## Data", "## Training", "## Figures", "## Limits", "## Licence"):
        assert section in card
    assert "from_pretrained" in card
    assert "| backbone | step 70, loss 0.25, hours 2.5 |" in card
    assert "| model-languages | 91.5 % | – | 90 | 400 |" in card
    assert all(file["sha256"] in card for file in config["files"].values())
    assert "$" not in card


def test_an_untrained_model_says_so(tiny_folder: Path) -> None:
    card = (tiny_folder / "README.md").read_text()
    assert "the weights are random" in card
    assert "None were measured" in card


def test_nanos_card_states_what_it_was_trained_for(tmp_path: Path) -> None:
    file = {"sha256": "0" * 64, "bytes": 9, "parameters": 2_000_000}
    params = PRESETS["nano"].to_dict()
    card = model_card({"params": params, "files": {"vae.safetensors": file}, "training": TRAINING})
    assert "2.0 million" in card
    assert "64×64 pixels, 17 frames" in card
    assert "3 attention and 6 convolutional" in card


@pytest.mark.parametrize("several", [False, True])
def test_the_command_puts_figures_into_config_and_card(
    tiny_folder: Path, tmp_path: Path, several: bool
) -> None:
    figure: dict[str, Any] = {"name": "model-vae", "value": 0.985, "unit": "SSIM", "ok": True, "n": 300}
    results = tmp_path / "model-vae.json"
    results.write_text(json.dumps({"name": "model-vae", "figures": [figure]} if several else figure))
    assert write_card([str(tiny_folder), "--figures", str(results)]) == 0
    assert "| model-vae | 0.985 SSIM |" in (tiny_folder / "README.md").read_text()
    model = load_model(tiny_folder)
    assert model.evaluation == [{"name": "model-vae", "value": 0.985, "unit": "SSIM", "n": 300}]
    before = contents(tiny_folder)
    assert write_card([str(tiny_folder)]) == 0
    assert contents(tiny_folder) == before


@pytest.mark.parametrize("text", ["", "[]", '{"name": "x"}', '{"figures": 3}'])
def test_the_command_refuses_what_are_no_figures(
    tiny_folder: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text(text)
    before = contents(tiny_folder)
    assert write_card([str(tiny_folder), "--figures", str(tmp_path / "bad.json")]) == 1
    assert "bad.json" in capsys.readouterr().err
    assert contents(tiny_folder) == before


@pytest.mark.usefixtures("no_network")
def test_loading_saving_and_making_a_clip_ask_no_network(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="socket"):
        socket.create_connection(("localhost", 9))
    pipeline = AiprodPipeline.from_pretrained(tiny_folder)
    assert pipeline(GenerationRequest("a red circle", frames=5, steps=1)).shape == (5, 64, 64, 3)
    pipeline.save_pretrained(tmp_path / "copy")


def test_loading_changes_no_random_state(tiny_folder: Path) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    load_model(tiny_folder)
    assert torch.equal(torch.rand(3), expected)
