"""The trainer: resumes to the bit, alone or as a team, refuses nonsense, and its runs make a checkpoint that
loads.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgecore_aiprod import AiprodPipeline, GenerationRequest, evaluate, export, generate, train
from edgecore_aiprod.presets import PRESETS, BackboneParams, ModelParams, TextParams, VaeParams
from edgecore_aiprod.training.config import Recipe, TrainConfig, read_config
from edgecore_aiprod.training.loop import Dice, Trainer
from edgecore_aiprod.video import write_mp4
from edgecore_aiprod.world import render, sample_scene

TINY = ModelParams(
    name="tiny",
    vae=VaeParams(
        encoder=(8, 16, 16), decoder=(8, 16, 16), encoder_depth=1, decoder_depth=1, heads=2, latent=16
    ),
    text=TextParams(byte_width=8, width=16, depth=1, heads=2, registers=6, out=16),
    backbone=BackboneParams(blocks="AC", width=32, heads=2, feed_forward=32),
)
CONFIG = """
preset = "tiny"
warmup = 2
batch = 2
clips = 4
threads = 1
save_every = 2
log_every = 1
frames = [5]

[[phase]]
name = "simple"
steps = 2
rate = 1e-3
rate_end = 1e-3

[[phase]]
name = "complex"
steps = 3
rate = 1e-3
rate_end = 1e-4
accumulate = 2
"""
CONFIGS = Path(__file__).parents[1] / "configs" / "nano"
ORDER = ("vae", "text", "backbone", "decoder")


@pytest.fixture(autouse=True)
def _tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All lessons of the tiny model, by the one command."""
    folder = tmp_path_factory.mktemp("trained")
    configs = folder / "configs"
    configs.mkdir()
    for lesson in ORDER:
        (configs / f"{lesson}.toml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        assert train_all(configs, folder / "runs") == 0
    return folder / "runs"


def train_all(configs: Path, runs: Path) -> int:
    return train.main(["all", "--configs", str(configs), "--runs", str(runs), "--quiet"])


def run(lesson: str, config: Path, runs: Path, *more: str) -> int:
    return train.main([lesson, "--config", str(config), "--runs", str(runs), "--quiet", *more])


def state_of(run: Path) -> dict[str, Tensor]:
    """Every number of a state under a name."""
    state = torch.load(run / "state.pt", weights_only=True)
    moments = {
        f"{number}.{name}": value
        for number, values in state["optimiser"]["state"].items()
        for name, value in values.items()
    }
    averaged = {f"ema.{name}": value for name, value in state["ema"].items()}
    return {**state["model"], **averaged, **moments, "step": torch.tensor(state["step"])}


def assert_equal(one: Path, other: Path) -> None:
    mine, theirs = state_of(one), state_of(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def steps_logged(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


def picture(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


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


class Line:
    """The smallest lesson: a line through random points."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)

    def loss(self, dice: Dice, recipe: Recipe, step: int) -> tuple[Tensor, dict[str, float]]:
        x = torch.randn(recipe.batch, 3, generator=dice.torch)
        return (self.model(x) - x.sum(dim=1, keepdim=True)).square().mean(), {}


def test_accumulation_descends_the_mean_of_its_batches(tmp_path: Path) -> None:
    phase = Recipe("one", steps=3, rate=1e-2, rate_end=1e-2, batch=4, accumulate=3)
    config = TrainConfig("tiny", (phase,), warmup=0, bfloat16=False, clip=1e9)
    trainer = Trainer(Line(), config, tmp_path)
    before = {name: value.clone() for name, value in trainer.lesson.model.named_parameters()}
    trainer.advance()
    gradients = {name: value.grad for name, value in trainer.lesson.model.named_parameters()}
    line = Line()
    line.model.load_state_dict(before)
    batches = [line.loss(Dice.of(0, 0, part), phase, 0)[0] for part in range(3)]
    torch.stack(batches).mean().backward()
    for name, value in line.model.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad)


RANK = """
import sys
from pathlib import Path
import torch
from edgecore_aiprod.training.config import read_config
from edgecore_aiprod.training.loop import Trainer
from edgecore_aiprod.training.parallel import join
from edgecore_aiprod.training.text import TextLesson

torch.set_num_threads(1)
config, folder = read_config(Path(sys.argv[1])), Path(sys.argv[2])
with join() as team:
    for until in (3, 5):
        with team.leader_first():
            trainer = Trainer(TextLesson(config), config, folder, team)
            trainer.resume()
        trainer.run(until, quiet=True)
    torch.save(trainer.lesson.model.state_dict(), folder / f"rank{team.rank}.pt")
"""
TEAM = CONFIG.replace("tiny", "nano").replace("batch = 2", "batch = 2\nbfloat16 = false")


@pytest.mark.local
@pytest.mark.timeout(300)
def test_two_processes_are_one_that_accumulates_twice_as_many(tmp_path: Path) -> None:
    """Over gloo, started by torchrun and stopped once: both end with the same weights, which are those of one
    process that draws the batches of both.
    """
    script, team, alone = tmp_path / "rank.py", tmp_path / "team.toml", tmp_path / "alone.toml"
    script.write_text(RANK)
    team.write_text(TEAM)
    alone.write_text(
        TEAM.replace("accumulate = 2", "accumulate = 4").replace('"simple"', '"simple"\naccumulate = 2')
    )
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*two, str(script), str(team), str(tmp_path / "two")], check=True, timeout=280)
    assert run("text", alone, tmp_path, "--until", "5") == 0
    one, other = (torch.load(tmp_path / "two" / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    together = torch.cat([value.flatten() for value in one.values()])
    singly = state_of(tmp_path / "text")
    by_itself = torch.cat([singly[name].flatten() for name in one])
    torch.manual_seed(0)
    start = train.make_lesson("text", read_config(alone), tmp_path).model.state_dict()
    moved = (by_itself - torch.cat([start[name].flatten() for name in one])).norm()
    assert (together - by_itself).norm() < 0.01 * moved
    assert steps_logged(tmp_path / "two") == [1, 2, 3, 4, 5]
    logged = [
        [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "two", tmp_path / "text")
    ]
    assert logged[0] == pytest.approx(logged[1], rel=1e-3)


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


def test_a_finished_run_is_left_as_it_is(
    runs: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "text", tmp_path / "text")
    when = (tmp_path / "text" / "state.pt").stat().st_mtime_ns
    assert run("text", config, tmp_path) == 0
    assert capsys.readouterr().out == "text: has its 5 steps\n"
    assert (tmp_path / "text" / "state.pt").stat().st_mtime_ns == when


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


def test_a_device_that_is_not_there(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit):
        train.main(["vae", "--config", str(config), "--device", "cuda"])
    assert "--device: this machine offers cpu only" in capsys.readouterr().err


@pytest.mark.parametrize("main", [train.main, export.main, evaluate.main, generate.main])
def test_every_command_explains_itself(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])  # type: ignore[operator]
    assert ended.value.code == 0
    assert "python -m edgecore_aiprod." in capsys.readouterr().out
