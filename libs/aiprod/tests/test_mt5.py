"""mT5 as the text encoder, on a tiny random one built here: a checkpoint that names it, and finds it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgecore_aiprod import AiprodPipeline, CheckpointError, GenerationRequest
from edgecore_aiprod.checkpoint import load_model, save_model
from edgecore_aiprod.model import Model, build_model
from edgecore_aiprod.mt5 import FOLDER, Mt5TextEncoder, describe
from edgecore_aiprod.presets import ModelParams, Mt5Params

pytest.importorskip("transformers", reason="the extra mt5 is not installed")
SCRIPTS = (
    "a red circle",
    "красный круг",
    "赤い丸",
    "دائرة حمراء",
    "אדום",
    "नीला दिल",
    "ก็",
    "e\u0301",
    "👩‍🚀❤️",
    "\0",
    "",
)


@pytest.fixture(scope="session")
def mt5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub has it; a character that its tokens lack becomes bytes."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import MT5Config, MT5EncoderModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("mt5")
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    letters = [(chr(letter), -3.0) for letter in (*range(33, 127), 0x2581)]
    pieces = special + letters + [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(5)
    shape = MT5Config(vocab_size=len(pieces), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    MT5EncoderModel(shape).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def params(mt5: Path, tiny_model: Model) -> ModelParams:
    return replace(
        tiny_model.params, text=replace(describe(mt5, width=16, depth=1, heads=2, registers=4), out=16)
    )


@pytest.fixture(scope="session")
def model(params: ModelParams, mt5: Path) -> Model:
    torch.manual_seed(1)
    made = build_model(params, mt5)
    for weight in made.text.parameters():
        weight.normal_(std=0.2)
    return made


def test_params_name_the_files_and_the_states(params: ModelParams) -> None:
    assert isinstance(params.text, Mt5Params)
    assert set(params.text.files) == {"config.json", "model.safetensors", "tokenizer.json"}
    assert params.text.states == 32
    assert ModelParams.from_dict(params.to_dict()) == params


@torch.inference_mode()
def test_every_script_becomes_registers_of_its_own(model: Model) -> None:
    B, R, E = len(SCRIPTS), 4, 16
    register_BRE = model.text.encode(SCRIPTS)
    assert register_BRE.shape == (B, R, E)
    assert register_BRE.isfinite().all()
    assert len({tuple(one.flatten().tolist()) for one in register_BRE}) == B
    assert torch.equal(model.text.encode(SCRIPTS), register_BRE)


@torch.inference_mode()
def test_neighbours_change_nothing_and_nothing_is_cut(model: Model) -> None:
    long = "heart " * 333 + "x"
    beside_BRE = model.text.encode(["a red circle, close-up", long])
    torch.testing.assert_close(
        beside_BRE[:1], model.text.encode(["a red circle, close-up"]), atol=1e-5, rtol=1e-4
    )
    assert not torch.allclose(beside_BRE[1:], model.text.encode([long[:-1] + "y"]))


@torch.inference_mode()
def test_terms_have_vectors_of_their_own(model: Model) -> None:
    assert isinstance(model.text, Mt5TextEncoder)
    told = ["a red circle, bokeh", "a red circle"]
    with_term_RE, without_RE = model.text.encode(told)
    kept = model.text.terms.weight.clone()
    model.text.terms.weight.zero_()
    zero_term_RE, still_RE = model.text.encode(told)
    model.text.terms.weight.copy_(kept)
    assert not torch.allclose(zero_term_RE, with_term_RE)
    assert torch.equal(still_RE, without_RE)


def test_unpaired_surrogates_are_refused(model: Model) -> None:
    with pytest.raises(UnicodeEncodeError):
        model.text.encode(["a red \ud83d circle"])


def test_only_what_is_ours_is_saved_and_learns(model: Model, tmp_path: Path) -> None:
    assert isinstance(model.text, Mt5TextEncoder)
    assert {name.split(".")[0] for name in model.text.state_dict()} == {"fold", "terms", "connector"}
    assert not any(weight.requires_grad for weight in model.text.frozen[0].parameters())
    text = model.text.requires_grad_()
    text.encode(["a red circle"]).sum().backward()
    assert text.fold.weight.grad is not None
    text.requires_grad_(False).zero_grad()
    save_model(model, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    assert "EDGECORE_MT5" in (tmp_path / "README.md").read_text()


def test_a_saved_model_finds_its_mt5_by_argument_and_environment(
    model: Model, mt5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model, tmp_path / "one")
    monkeypatch.delenv(FOLDER, raising=False)
    given = load_model(tmp_path / "one", mt5)
    monkeypatch.setenv(FOLDER, str(mt5))
    pipeline = AiprodPipeline.from_pretrained(tmp_path / "one")
    told = ["a red circle moving right, close-up"]
    with torch.inference_mode():
        assert torch.equal(pipeline.model.text.encode(told), given.text.encode(told))
    request = GenerationRequest("ein rotes Herz", frames=5, steps=1)
    assert pipeline(request).shape == (5, 64, 64, 3)
    pipeline.save_pretrained(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_is_missing_is_said_with_how_to_get_it(
    model: Model, mt5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model, tmp_path / "ours")
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(CheckpointError, match=r"google/mt5-base.*EDGECORE_MT5"):
        load_model(tmp_path / "ours")
    with pytest.raises(CheckpointError, match=r"missing from .*google/mt5-base"):
        load_model(tmp_path / "ours", tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"missing from .*google/mt5-base"):
        describe(tmp_path / "nowhere")
    other = tmp_path / "other"
    other.mkdir()
    for path in mt5.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: sha256"):
        load_model(tmp_path / "ours", other)
    damaged = replace(model.params, text=replace(model.params.text, files=dict(describe(other).files)))
    with pytest.raises(CheckpointError, match="mT5: cannot be read"):
        build_model(damaged, other)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("files", {"../config.json": "0"}, "not the name of a file"),
        ("files", ["config.json"], "files must be an object"),
        ("states", 48, "says 32 states"),
        ("states", "many", "states must be a whole number"),
        ("kind", "clip", "params do not describe"),
        ("depth", 10**9, "depth must be a whole number from 1 to 1000"),
    ],
)
def test_a_config_that_lies_of_its_mt5_is_refused(
    model: Model, mt5: Path, tmp_path: Path, name: str, value: object, said: str
) -> None:
    save_model(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["params"]["text"][name] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=said):
        load_model(tmp_path, mt5)


def test_importing_the_library_imports_neither_torch_nor_transformers() -> None:
    script = (
        "import sys, edgecore_aiprod\nassert not {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "import edgecore_aiprod.mt5\nassert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
