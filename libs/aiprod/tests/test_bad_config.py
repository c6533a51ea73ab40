"""A model's config.json that lies or is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgecore_aiprod import CheckpointError
from edgecore_aiprod.checkpoint import load_model


@pytest.mark.parametrize(
    "text", ["not json", "[" * 100_000, '{"format": NaN', "9" * 5000, '"edgecore-aiprod/1"', "\x00", "null"]
)
def test_a_config_that_is_no_object_is_refused(tiny_folder: Path, text: str) -> None:
    (tiny_folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(tiny_folder)


def test_a_config_that_is_no_text_is_refused(tiny_folder: Path) -> None:
    (tiny_folder / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read"):
        load_model(tiny_folder)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "edgecore-aiprod/2"),
        (["format"], None),
        (["params"], []),
        (["params", "name"], 3),
        (["params", "vae"], None),
        (["params", "vae", "encoder"], [8, 16]),
        (["params", "vae", "encoder"], "8,16,16"),
        (["params", "vae", "latent"], 10**12),
        (["params", "vae", "latent"], 65_536),
        (["params", "vae", "decoder_depth"], 10**9),
        (["params", "vae", "heads"], 0),
        (["params", "text", "width"], -16),
        (["params", "text", "width"], 16.5),
        (["params", "text", "width"], True),
        (["params", "text", "kind"], "clip"),
        (["params", "text", "stowaway"], 1),
        (["params", "text", "registers"], 5),
        (["params", "backbone", "blocks"], ""),
        (["params", "backbone", "blocks"], "AX"),
        (["params", "backbone", "blocks"], "AC" * 100_000),
        (["params", "backbone", "blocks"], "CA"),
        (["params", "backbone", "heads"], 64),
        (["params", "backbone", "width"], 65_536),
        (["params", "upsampler"], "small"),
        (["params", "upsampler"], {"width": 8, "low": 10**9, "high": 1}),
        (["files"], {}),
        (["files"], []),
        (["files", "vae.safetensors"], "a" * 64),
        (["files", "vae.safetensors", "sha256"], "0" * 64),
        (["files", "vae.safetensors", "sha256"], 7),
        (["files", "upsampler.safetensors"], {"sha256": "0" * 64, "bytes": 1}),
        (["files", "distilled.safetensors"], {"sha256": "0" * 64, "bytes": 1}),
        (["training"], "long"),
        (["evaluation"], {"name": "x"}),
        (["evaluation"], [{"name": "x"}]),
    ],
)
def test_a_config_that_lies_is_refused(tiny_folder: Path, path: list[str], value: object) -> None:
    config = json.loads((tiny_folder / "config.json").read_text())
    inner: dict[str, Any] = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (tiny_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError):
        load_model(tiny_folder)
