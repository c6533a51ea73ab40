"""What a training run is told: a TOML file with the run's settings and its curriculum of phases.

Settings above the first `[[phase]]` hold for the whole run; those of `Recipe` may be set there for all phases
and in a phase for that phase alone.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgecore_aiprod.errors import TrainingError
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.training.tables import from_table


@dataclass(frozen=True)
class Recipe:
    """What one phase of a lesson trains on and how fast. Shares are of the clips (or captions) of a batch."""

    name: str  # of the phase
    steps: int  # optimiser steps of this phase
    rate: float  # learning rate at the phase's start; along a cosine to `rate_end` at its end
    rate_end: float
    batch: int  # clips of 64×64 (larger ones are proportionally fewer), or captions, a step and process
    accumulate: int = 1  # batches a step
    ema: float = 0.998  # decay of the averaged weights per step; shorter at the start
    plain: float = 0.0  # share of scenes forced onto plain ground
    languages: float = 0.5  # text, backbone: share of captions that are not English
    sides: tuple[int, ...] = (64,)  # vae, decoder: pixels a side, taken in turn with `frames`
    frames: tuple[int, ...] = (17,)  # vae, decoder: frames of a clip
    noise: float = 0.3  # vae, decoder: largest standard deviation added to the latent
    sharpness: float = 1.0  # vae, decoder: weight of the absolute errors of pixels and edges
    structure: float = 0.0  # vae, decoder: weight of 1 - SSIM
    shifts: tuple[float, float] = (3.0, 24.0)  # backbone: how far training times are moved towards noise
    text_drop: float = 0.1  # backbone: share of captions dropped, for guidance
    steered: float = 0.0  # backbone: share of clips given with their motion field
    opened: float = 0.0  # backbone: share of clips given with their first frame
    preserve: float = 0.5  # lora: share of clips of the synthetic world, so that the old is not forgotten

    def __post_init__(self) -> None:
        _check(self, 1, "steps", "batch", "accumulate")
        _check(self, 0, "rate", "rate_end", "noise", "sharpness", "structure")
        for name in ("ema", "plain", "languages", "text_drop", "steered", "opened", "preserve"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: from 0 to 1, not {getattr(self, name)}")
        if min(self.shifts) <= 0.0:
            raise ValueError(f"shifts: each above 0, not {self.shifts}")
        if any((frames - 1) % 4 or frames < 1 for frames in self.frames):
            raise ValueError(f"frames: each 4k+1, not {self.frames}")
        if any(side % 16 or side < 16 for side in self.sides):
            raise ValueError(f"sides: each a multiple of 16, not {self.sides}")

    def rate_at(self, step: int) -> float:
        """`step` counts from the phase's start."""
        progress = min(step / max(1, self.steps - 1), 1.0)
        return self.rate_end + (self.rate - self.rate_end) * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class TrainConfig:
    """A run of one lesson. Times and sizes of the shipped runs stand in the TOML files' comments."""

    preset: str  # a name of `presets.PRESETS`
    phases: tuple[Recipe, ...]
    warmup: int = 100  # steps of linear warm-up at the start of the run
    seed: int = 0
    decay: float = 0.01  # AdamW weight decay
    clip: float = 1.0  # gradient norm
    save_every: int = 250  # steps
    log_every: int = 25  # steps
    sample_every: int = 0  # steps between contact sheets of samples; 0 is at the end of each phase only
    threads: int = 2  # of each process
    bfloat16: bool = True  # autocast; about twice as fast on a CPU with AVX-512 BF16
    clips: int = 8192  # backbone: clips encoded once and drawn from
    data: str = ""  # backbone (instead of the synthetic world), lora: a folder that `train prepare` made
    base: str = ""  # lora: the checkpoint folder that learns; the shipped one if empty
    rank: int = 16  # lora: of the adapter
    alpha: float = 16.0  # lora: the adapter counts alpha/rank
    digest: str = field(default="", compare=False)  # SHA-256 of the file

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset: one of {sorted(PRESETS)}, not {self.preset!r}")
        if not self.phases:
            raise ValueError("phase: at least one [[phase]] is needed")
        _check(self, 1, "save_every", "log_every", "threads", "clips", "rank")
        _check(self, 0, "warmup", "seed", "decay", "sample_every")
        if self.clip <= 0.0:
            raise ValueError(f"clip: above 0, not {self.clip}")

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def at(self, step: int) -> tuple[Recipe, int]:
        """The phase that `step` (from 0) falls into, and how many of its steps are done; the last one after
        the end.
        """
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        return self.phases[-1], self.phases[-1].steps

    def rate(self, step: int) -> float:
        phase, done = self.at(step)
        return phase.rate_at(done) * min(1.0, (step + 1) / max(1, self.warmup))

    def scaled(self, steps: int) -> TrainConfig:
        """The same curriculum in `steps` steps in all, every phase shortened (or lengthened) alike."""
        if steps < len(self.phases):
            raise ValueError(f"steps: at least one for each of the {len(self.phases)} phases, not {steps}")
        ends = [0]
        for phase in self.phases:
            ends.append(ends[-1] + phase.steps)
        marks = [round(end * steps / self.steps) for end in ends]
        lengths = [max(1, after - before) for before, after in pairwise(marks)]
        return replace(
            self,
            phases=tuple(
                replace(phase, steps=length) for phase, length in zip(self.phases, lengths, strict=True)
            ),
        )


def read_config(path: Path, steps: int | None = None) -> TrainConfig:
    """Raises TrainingError naming file, phase and key of what does not fit; OSError if there is no file."""
    data = path.read_bytes()
    try:
        values = tomllib.loads(data.decode("utf-8"))
        tables = values.pop("phase", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ValueError("phase: must be [[phase]] tables")
        recipe_keys = {field.name for field in fields(Recipe)}
        shared = {key: values.pop(key) for key in recipe_keys & set(values)}
        phases = tuple(_recipe(number, shared | table) for number, table in enumerate(tables, start=1))
        digest = hashlib.sha256(data).hexdigest()
        config = from_table(TrainConfig, values, phases=phases, digest=digest)
        return config if steps is None else config.scaled(steps)
    except ValueError as error:
        raise TrainingError(str(path), str(error)) from error


def _recipe(number: int, values: dict[str, Any]) -> Recipe:
    try:
        return from_table(Recipe, values)
    except ValueError as error:
        raise ValueError(f"phase {values.get('name', number)}: {error}") from error


def _check(settings: Recipe | TrainConfig, least: int, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < least:
            raise ValueError(f"{name}: at least {least}, not {getattr(settings, name)}")
