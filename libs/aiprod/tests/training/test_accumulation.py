"""Batches drawn one after another, or by several processes, make one step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgecore_aiprod import train
from edgecore_aiprod.training.config import Recipe, TrainConfig, read_config
from edgecore_aiprod.training.lesson import Dice
from edgecore_aiprod.training.loop import Trainer

from .conftest import CONFIG, run, state_of, steps_logged


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
