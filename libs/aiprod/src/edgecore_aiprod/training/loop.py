"""The loop every lesson runs in: AdamW, a curriculum of phases, clipping, EMA, log and pictures, resumable to
the bit.

Randomness is a function of (seed, step, batch): each batch has its own generators, so a run that was stopped
and resumed does exactly what an uninterrupted one does, and no generator's state has to be kept. Two
processes see the batches of one that accumulates two a step.
"""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path
from typing import TextIO

import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn

from edgecore_aiprod.errors import TrainingError
from edgecore_aiprod.replacement import replacing
from edgecore_aiprod.training.config import Recipe, TrainConfig
from edgecore_aiprod.training.lesson import Dice, Lesson, Pictured
from edgecore_aiprod.training.parallel import ALONE, SharedLoss, Team
from edgecore_aiprod.training.plots import LOG, can_plot, draw_curves, read_log
from edgecore_aiprod.training.state import Facts, check_past, past, read_facts, read_state, write_state
from edgecore_aiprod.video import contact_sheet, write_png


class Trainer:
    """Runs a lesson in `folder`: state.pt and state.json (to resume), log.jsonl (one line per `log_every`
    steps), curves.png, samples-<step>.png.
    """

    def __init__(self, lesson: Lesson, config: TrainConfig, folder: Path, team: Team = ALONE) -> None:
        self.lesson, self.config, self.folder, self.team = lesson, config, folder, team
        self.ema = copy.deepcopy(lesson.model).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(
            lesson.model.parameters(),
            lr=config.rate(0),
            betas=(0.9, 0.98),
            weight_decay=config.decay,
            fused=True,
        )
        self.step = 0
        self.seconds = 0.0  # trained in all
        self._shared: SharedLoss | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self, force: bool = False) -> bool:
        """Load the newest state, if there is one. `force` takes it whatever state.json says of it.

        Raises TrainingError on a state that is cut off, another run's, or of another configuration.
        """
        facts = None
        try:
            facts = read_facts(self.folder)
            if facts is None:
                return False
            check_past(self.folder, facts, self.config)
        except TrainingError:
            if not force:
                raise
        state = read_state(self.folder)
        try:
            self.lesson.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            if state["optimiser"] is not None:  # as in a run restored from a release
                self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise TrainingError(str(self.folder), f"holds the state of another model: {error}") from error
        self.step = int(state["step"])
        self.seconds = 0.0 if facts is None else facts.seconds
        return True

    def save(self) -> None:
        write_state(
            self.folder,
            {
                "model": self.lesson.model.state_dict(),
                "ema": self.ema.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
            },
            Facts(
                step=self.step,
                phase=self.config.at(self.step)[0].name,
                seconds=round(self.seconds, 1),
                config=self.config.digest,
                past=past(self.config, self.step),
                torch=torch.__version__,
            ),
        )
        if can_plot():
            draw_curves(self.folder, self.config.phases)

    def advance(self) -> dict[str, float]:
        """One optimiser step."""
        config, step = self.config, self.step
        recipe, _ = config.at(step)
        rate = config.rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        total = self.team.mean(self._descend(recipe))
        norm = float(nn.utils.clip_grad_norm_(self.lesson.model.parameters(), config.clip))
        if not math.isfinite(norm):
            raise FloatingPointError(f"step {step}: the gradient is not finite (loss {total['loss']})")
        self.optimiser.step()
        self._average(min(recipe.ema, (1.0 + step) / (10.0 + step)))
        self.step += 1
        return {**total, "norm": norm, "rate": rate}

    def _descend(self, recipe: Recipe) -> dict[str, float]:
        """The gradients of this process's batches of the step; the means of their figures."""
        if self._shared is None:
            self._shared = SharedLoss(self.lesson.model, self.lesson.loss, self.team)
        total: dict[str, float] = {}
        for part in range(recipe.accumulate):
            dice = Dice.of(self.config.seed, self.step, self.team.rank * recipe.accumulate + part)
            with self._shared.gathering(last=part == recipe.accumulate - 1):
                with torch.autocast(self.team.device.type, torch.bfloat16, enabled=self.config.bfloat16):
                    loss, figures = self._shared(dice, recipe, self.step)
                (loss / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
            for name, value in {"loss": loss.item(), **figures}.items():
                total[name] = total.get(name, 0.0) + value / recipe.accumulate
        return total

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        kept: list[Tensor] = list(self.ema.parameters())
        newest: list[Tensor] = list(self.lesson.model.parameters())
        torch._foreach_lerp_(kept, newest, 1.0 - decay)
        for mine, theirs in zip(self.ema.buffers(), self.lesson.model.buffers(), strict=True):
            mine.copy_(theirs)

    def run(self, until: int | None = None, quiet: bool = False) -> None:
        """Train to `until` (default: the configured end), saving on the way and at the end."""
        end = min(until or self.config.steps, self.config.steps)
        if not self.team.leads:
            while self.step < end:
                self.advance()
            return
        before, started = self.seconds, time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with (
            Progress(*columns, TimeRemainingColumn(), disable=quiet) as progress,
            self._open_log() as log,
        ):
            task = progress.add_task("loss", total=end, completed=self.step)
            while self.step < end:
                name = self.config.at(self.step)[0].name
                figures = self.advance()
                self.seconds = before + time.monotonic() - started
                progress.update(task, completed=self.step, description=f"{name}: loss {figures['loss']:.4f}")
                if self.step % self.config.log_every == 0 or self.step == end:
                    self._log(log, figures)
                if self._shows():
                    self._show()
                if self.step % self.config.save_every == 0 and self.step < end:
                    self.save()
        self.save()

    def _open_log(self) -> TextIO:
        """Without the lines of steps that were lost with a killed process and are now done again."""
        kept = [json.dumps(line) + "\n" for line in read_log(self.folder) if line["step"] <= self.step]
        with replacing(self.folder / LOG) as partial:
            partial.write_text("".join(kept), encoding="utf-8")
        return (self.folder / LOG).open("a", encoding="utf-8")

    def _log(self, log: TextIO, figures: dict[str, float]) -> None:
        line = {"step": self.step, "seconds": round(self.seconds, 1)} | {
            k: float(f"{v:.6g}") for k, v in figures.items()
        }
        log.write(json.dumps(line) + "\n")
        log.flush()

    def _shows(self) -> bool:
        """At the end of a phase, and every `sample_every` steps."""
        recipe, done = self.config.at(self.step)
        every = self.config.sample_every
        return done in (0, recipe.steps) or (every > 0 and self.step % every == 0)

    def _show(self) -> None:
        if isinstance(self.lesson, Pictured):
            with (
                torch.no_grad(),
                torch.autocast(self.team.device.type, torch.bfloat16, enabled=self.config.bfloat16),
            ):
                clips = self.lesson.samples(self.ema)
            write_png(self.folder / f"samples-{self.step}.png", contact_sheet(clips))
