"""What must not work: each case says which field, file, tensor or dimension is wrong, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgecore_aiprod import AiprodPipeline, CheckpointError, GenerationRequest, InvalidRequest
from edgecore_aiprod.checkpoint import Model, load_model
from edgecore_aiprod.export import main as export
from edgecore_aiprod.motion import motion_hints
from edgecore_aiprod.training.config import read_config

REQUEST = GenerationRequest("a red circle moving right", frames=5, steps=1)
PARTS = ("vae", "text", "backbone")


# Presets


def test_an_unknown_preset_is_named_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        export(["--preset", "huge", "-o", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert "huge" in said
    assert "nano" in said
    assert not (tmp_path / "out").exists()
    config = tmp_path / "run.toml"
    config.write_text('preset = "huge"\n[[phase]]\nname="a"\nsteps=1\nrate=1.0\nrate_end=1.0\nbatch=1\n')
    with pytest.raises(ValueError, match=r"preset: one of.*nano.*huge"):
        read_config(config)


# Checkpoints


def sign(folder: Path, file: str) -> None:
    """Make config.json agree with a changed file, so that the checks behind the hash are reached."""
    config = json.loads((folder / "config.json").read_text())
    config["files"][file]["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))


def missing(tensors: dict[str, Tensor], name: str) -> None:
    del tensors[name]


def mis_shaped(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name].flatten()[1:].clone()


def empty(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.zeros(0)


def not_a_number(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.full(tensors[name].shape, torch.nan)


def infinite(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.full(tensors[name].shape, -torch.inf)


def whole_numbers(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.ones(tensors[name].shape, dtype=torch.int64)


def eight_bits_without_scale(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.ones(tensors[name].shape, dtype=torch.int8)


@pytest.mark.parametrize(
    ("part", "tensor"),
    [("vae", "decoder.inlet.weight"), ("text", "fold.weight"), ("backbone", "outlet.weight")],
)
@pytest.mark.parametrize(
    "edit",
    [
        missing,
        mis_shaped,
        empty,
        not_a_number,
        infinite,
        whole_numbers,
        eight_bits_without_scale,
    ],
)
def test_a_wrong_tensor_of_any_part_is_named(
    tiny_folder: Path, part: str, tensor: str, edit: Callable[[dict[str, Tensor], str], None]
) -> None:
    path = tiny_folder / f"{part}.safetensors"
    tensors = load_file(path)
    edit(tensors, tensor)
    save_file(tensors, path)
    sign(tiny_folder, path.name)
    with pytest.raises(CheckpointError) as caught:
        load_model(tiny_folder)
    assert (caught.value.file, caught.value.tensor) == (path.name, tensor)


@pytest.mark.parametrize("part", PARTS)
def test_a_file_with_extra_or_without_any_tensors_is_refused(tiny_folder: Path, part: str) -> None:
    path = tiny_folder / f"{part}.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"stowaway": torch.zeros(2)}, path)
    sign(tiny_folder, path.name)
    with pytest.raises(CheckpointError, match="stowaway") as caught:
        load_model(tiny_folder)
    assert caught.value.tensor == "stowaway"
    save_file({}, path)
    sign(tiny_folder, path.name)
    with pytest.raises(CheckpointError, match="is missing"):
        load_model(tiny_folder)


def with_header(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one_tensor(data: bytes = bytes(8), **facts: object) -> bytes:
    return with_header({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | facts}, data)


NO_WEIGHTS = {
    "nothing": b"",
    "another format": b"PK\x03\x04 a zip file of another format",
    "endless header": struct.pack("<Q", 2**63),
    "header that is not JSON": struct.pack("<Q", 9) + b"not json!",
    "header that is a list": with_header([]),
    "tensor that is a number": with_header({"x": 3}),
    "no data": one_tensor(b""),
    "less data than its shape": one_tensor(shape=[3]),
    "negative side": one_tensor(shape=[-2]),
    "unknown type": one_tensor(dtype="F99"),
    "complex numbers": one_tensor(dtype="C64", shape=[1]),
    "a type that torch has none for": one_tensor(dtype="F8_E8M0", shape=[8]),
    "a type of half a byte": one_tensor(dtype="F4", shape=[16]),
}


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_bytes_that_are_no_weights_are_refused(tiny_folder: Path, name: str) -> None:
    (tiny_folder / "text.safetensors").write_bytes(NO_WEIGHTS[name])
    sign(tiny_folder, "text.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_model(tiny_folder)
    assert caught.value.file == "text.safetensors"


def test_a_header_with_random_faults_never_raises_anything_else(tiny_folder: Path) -> None:
    path = tiny_folder / "text.safetensors"
    whole = path.read_bytes()
    header = struct.unpack("<Q", whole[:8])[0]
    rng = np.random.default_rng(20)
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, 8 + header, size=int(rng.integers(1, 4))):
            data[place] = int(rng.integers(256))
        path.write_bytes(data)
        sign(tiny_folder, path.name)
        try:
            load_model(tiny_folder)
        except CheckpointError as error:
            assert error.file == path.name  # noqa: PT017  (a fault may also hit what does not matter)


@pytest.mark.parametrize(
    "name", ["config.json", "vae.safetensors", "text.safetensors", "backbone.safetensors"]
)
def test_a_folder_in_place_of_a_file_is_refused(tiny_folder: Path, name: str) -> None:
    (tiny_folder / name).unlink()
    (tiny_folder / name).mkdir()
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        load_model(tiny_folder)
    assert caught.value.file == name


def test_a_file_in_place_of_the_folder_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(CheckpointError):
        AiprodPipeline.from_pretrained(tiny_folder / "config.json")


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


def test_a_failed_load_leaves_a_pipeline_as_it_was(tiny_folder: Path) -> None:
    pipeline = AiprodPipeline.from_pretrained(tiny_folder)
    before = pipeline(REQUEST)
    for part in PARTS:
        path = tiny_folder / f"{part}.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(CheckpointError):
            AiprodPipeline.from_pretrained(tiny_folder)
    assert np.array_equal(pipeline(REQUEST), before)


# Prompts

SCRIPTS = {
    "right to left": "دائرة حمراء تتحرك إلى اليمين",
    "both ways": "\u202eעיגול\u202c red אדום",
    "combining": "e\u0301" * 200 + "Z̴̡̨͓͎̈́͝a̷̢͝l̶̰̈́g̷̱̈o̵͇͘",
    "conjuncts": "नीला दिल क्ष्म्य",
    "emoji": "👩‍👩‍👧‍👦❤️‍🔥🏳️‍🌈🔴➡️",
    "flags and keycaps": "🇫🇷🇯🇵1️⃣",
    "beyond the first plane": "𓀀𒀀𝔸",
    "no spaces": "ก็ที่หัวใจสีแดง",
    "zero width": "red\u200b\u200dcircle\ufeff",
    "NUL bytes": "a red\0circle\0",
    "control characters": "\x01\x1b[31mred\x7f",
    "noncharacters": "\uffff\ufdd0",
    "terms only": "bokeh",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_makes_a_clip_and_reads_unlike_the_rest(
    tiny_pipeline: AiprodPipeline, name: str
) -> None:
    text = tiny_pipeline.model.text
    with torch.inference_mode():
        register_RE, other_RE = text.encode([SCRIPTS[name]]), text.encode(["a red circle"])
    assert register_RE.isfinite().all()
    assert not torch.allclose(register_RE, other_RE)
    assert tiny_pipeline(GenerationRequest(SCRIPTS[name], frames=5, steps=1)).shape == (5, 64, 64, 3)


@pytest.mark.parametrize("prompt", ["x", "🔴", "\0", "x" * 2000, "🔴" * 2000])
def test_one_and_two_thousand_characters_make_a_clip(tiny_pipeline: AiprodPipeline, prompt: str) -> None:
    video = tiny_pipeline(GenerationRequest(prompt, frames=5, steps=1))
    assert video.shape == (5, 64, 64, 3)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "not 0 characters"),
        ("x" * 2001, "not 2001 characters"),
        ("🔴" * 2001, "not 2001 characters"),
        ("x" * 100_000, "not 100000 characters"),
        (" \n\u3000\u00a0", "not all blank"),
        ("a red \ud83d circle", "unpaired surrogate .*character 6"),
        ("\udd34", "unpaired surrogate .*character 0"),
        (b"a red circle", "text of 1 to 2000"),
        (None, "text of 1 to 2000"),
        (["a red circle"], "text of 1 to 2000"),
    ],
)
def test_a_prompt_that_breaks_a_rule_is_told_which(
    tiny_pipeline: AiprodPipeline, prompt: Any, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        tiny_pipeline(GenerationRequest(prompt, frames=5, steps=1))
    assert caught.value.field == "prompt"
    assert len(str(caught.value)) < 300


def test_a_negative_prompt_may_be_empty_and_keeps_the_rules(tiny_pipeline: AiprodPipeline) -> None:
    for negative in ("x" * 2001, "\udd34"):
        with pytest.raises(InvalidRequest) as caught:
            tiny_pipeline(GenerationRequest("red", negative, frames=5, steps=1))
        assert caught.value.field == "negative_prompt"


@torch.inference_mode()
def test_the_text_encoder_itself_cuts_nothing_and_refuses_surrogates(tiny_model: Model) -> None:
    long = "a red circle " * 700  # 9,100 characters
    assert not torch.equal(tiny_model.text.encode([long + "x"]), tiny_model.text.encode([long + "y"]))
    with pytest.raises(UnicodeEncodeError):
        tiny_model.text.encode(["fine", "\ud83d"])


# Shapes


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((5, 64, 64, 3), r"video_BTHWC: must have the dimensions \(B, T, H, W, C\)"),
        ((1, 3, 5, 64, 64), "C of .* must be 3, not 64"),
        ((1, 5, 64, 64, 4), "C of .* must be 3, not 4"),
        ((0, 5, 64, 64, 3), "B of .* must be at least 1, not 0"),
        ((1, 0, 64, 64, 3), "T of .* must be at least 1, not 0"),
        ((1, 4, 64, 64, 3), r"4k\+1"),
        ((1, 5, 60, 64, 3), "multiples of 16"),
        ((1, 5, 64, 0, 3), "W of .* must be at least 1, not 0"),
    ],
)
def test_a_wrong_video_is_told_the_dimension(tiny_model: Model, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny_model.vae.encode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2, 4, 4, 16), "z_BTHWC: must have the dimensions"),
        ((1, 2, 4, 4, 17), "C of .* must be 16, not 17"),
        ((1, 0, 4, 4, 16), "T of .* must be at least 1"),
    ],
)
def test_a_wrong_latent_is_told_the_dimension(tiny_model: Model, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny_model.vae.decode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("x", (2, 3, 4, 16), "x_BTHWC: must have the dimensions"),
        ("x", (2, 3, 4, 4, 15), "x_BTHWC: C of .* must be 16, not 15"),
        ("t", (3,), "t_B: B of .* must be 2, not 3"),
        ("t", (), "t_B: must have the dimensions"),
        ("text", (2, 16), "text_BRE: must have the dimensions"),
        ("text", (3, 4, 16), "text_BRE: B of .* must be 2, not 3"),
        ("text", (2, 4, 8), "text_BRE: E of .* must be 16, not 8"),
        ("text", (2, 0, 16), "text_BRE: R of .* must be at least 1"),
        ("hints", (3, 4, 4, 4), "hints_BTHW4: must have the dimensions"),
        ("hints", (2, 3, 4, 4, 2), "hints_BTHW4: C of .* must be 4, not 2"),
        ("hints", (2, 3, 4, 5, 4), "hints_BTHW4: W of .* must be 4, not 5"),
        ("hints", (2, 1, 4, 4, 4), "hints_BTHW4: T of .* must be 3, not 1"),
    ],
)
def test_the_backbone_names_the_dimension_that_does_not_fit(
    tiny_model: Model, name: str, shape: tuple[int, ...], said: str
) -> None:
    given = {
        "x": torch.zeros(2, 3, 4, 4, 16),
        "t": torch.zeros(2),
        "text": torch.zeros(2, 4, 16),
        "hints": torch.zeros(2, 3, 4, 4, 4),
    }
    given[name] = torch.zeros(shape)
    with pytest.raises(ValueError, match=said):
        tiny_model.backbone(given["x"], given["t"], given["text"], given["hints"])


@torch.inference_mode()
def test_one_text_and_one_clips_hints_serve_a_batch(tiny_model: Model) -> None:
    x_BTHWC, t_B = torch.randn(2, 3, 4, 4, 16), torch.tensor([0.2, 0.7])
    text_1RE, hints_1THW4 = torch.randn(1, 4, 16), torch.randn(1, 3, 4, 4, 4)
    one = tiny_model.backbone(x_BTHWC, t_B, text_1RE, hints_1THW4)
    each = tiny_model.backbone(x_BTHWC, t_B, text_1RE.repeat(2, 1, 1), hints_1THW4.repeat(2, 1, 1, 1, 1))
    torch.testing.assert_close(one, each)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((64, 64, 2), "field_FHW2: must have the dimensions"),
        ((5, 64, 64, 3), "C of .* must be 2, not 3"),
        ((4, 64, 64, 2), r"F must be 4k\+1, not 4"),
        ((0, 64, 64, 2), "F of .* must be at least 1"),
    ],
)
def test_a_wrong_motion_field_is_told_the_dimension(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        motion_hints(torch.zeros(shape), 4, 4)
