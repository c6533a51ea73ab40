"""The loop every lesson runs in: AdamW, warm-up and cosine, clipping, EMA, JSONL log, resumable to the bit.

Randomness is a function of (seed, step): each step makes its own generators, so a run that was stopped and
resumed does exactly what an uninterrupted one does, and no generator's state has to be kept.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
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

from edgecore_aiprod.training.config import TrainConfig


@dataclass(frozen=True)
class Dice:
    """One step's randomness."""

    numpy: np.random.Generator
    torch: torch.Generator

    @classmethod
    def of(cls, seed: int, step: int) -> Dice:
        return cls(
            np.random.default_rng((seed, step)), torch.Generator().manual_seed(seed * 1_000_003 + step)
        )


class Lesson(Protocol):
    """What is learned: a module and the loss of one random batch."""

    @property
    def model(self) -> nn.Module: ...

    def loss(self, dice: Dice, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss to descend, and figures for the log."""


def learning_rate(config: TrainConfig, step: int) -> float:
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.rate_end + (config.rate - config.rate_end) * 0.5 * (
        1.0 + math.cos(math.pi * min(progress, 1.0))
    )


class Trainer:
    """Runs a lesson in `folder`: state.pt (to resume), log.jsonl (one line per `log_every` steps)."""

    def __init__(self, lesson: Lesson, config: TrainConfig, folder: Path) -> None:
        self.lesson, self.config, self.folder = lesson, config, folder
        self.ema = copy.deepcopy(lesson.model).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            lesson.model.parameters(),
            lr=config.rate,
            betas=(0.9, 0.98),
            weight_decay=config.decay,
            fused=True,
        )
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def state_path(self) -> Path:
        return self.folder / "state.pt"

    def resume(self) -> bool:
        """Load the newest state, if there is one."""
        if not self.state_path.exists():
            return False
        state = torch.load(self.state_path, weights_only=True)
        self.lesson.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        return True

    def save(self) -> None:
        """Write the state beside its place and move it there, so that a kill leaves the old one whole."""
        partial = self.state_path.with_suffix(".partial")
        torch.save(
            {
                "model": self.lesson.model.state_dict(),
                "ema": self.ema.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
            },
            partial,
        )
        os.replace(partial, self.state_path)

    def advance(self) -> dict[str, float]:
        """One optimiser step."""
        config, step = self.config, self.step
        rate = learning_rate(config, step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            loss, figures = self.lesson.loss(Dice.of(config.seed, step), step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.lesson.model.parameters(), config.clip)
        if not math.isfinite(float(norm)):
            raise FloatingPointError(f"step {step}: the gradient is not finite (loss {loss.item()})")
        self.optimiser.step()
        self._average(min(config.ema, (1.0 + step) / (10.0 + step)))
        self.step += 1
        return {"loss": loss.item(), "norm": float(norm), "rate": rate, **figures}

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
        started = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with (
            Progress(*columns, TimeRemainingColumn(), disable=quiet) as progress,
            (self.folder / "log.jsonl").open("a", encoding="utf-8") as log,
        ):
            task = progress.add_task("loss", total=end, completed=self.step)
            while self.step < end:
                figures = self.advance()
                progress.update(task, completed=self.step, description=f"loss {figures['loss']:.4f}")
                if self.step % self.config.log_every == 0 or self.step == end:
                    self._log(log, figures, time.monotonic() - started)
                if self.step % self.config.save_every == 0:
                    self.save()
        self.save()

    def _log(self, log: Any, figures: dict[str, float], seconds: float) -> None:
        line = {"step": self.step, "seconds": round(seconds, 1)} | {
            k: float(f"{v:.6g}") for k, v in figures.items()
        }
        log.write(json.dumps(line) + "\n")
        log.flush()
