"""What a training run is told: read from TOML, checked at once, unknown keys refused."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgecore_aiprod.presets import PRESETS


@dataclass(frozen=True)
class TrainConfig:
    """A run of one lesson. Times and sizes of the shipped runs stand in the TOML files' comments."""

    preset: str  # a name of `presets.PRESETS`
    steps: int  # optimiser steps of the whole run; the schedule ends there
    batch: int  # clips (vae, backbone) or captions (text) a step
    rate: float  # peak learning rate; linear warm-up, then cosine down to `rate_end`
    rate_end: float
    warmup: int  # steps
    seed: int = 0
    decay: float = 0.01  # AdamW weight decay
    clip: float = 1.0  # gradient norm
    ema: float = 0.999  # per step; shorter at the start
    save_every: int = 250  # steps
    log_every: int = 25  # steps
    threads: int = 2
    bfloat16: bool = True  # autocast; about twice as fast on a CPU with AVX-512 BF16
    frames: tuple[int, ...] = (17,)  # vae: lengths of clip, taken in turn
    noise: float = 0.3  # vae: largest standard deviation added to the latent
    sharpness: float = 1.0  # decoder: weight of the absolute terms of the loss
    languages: float = 0.5  # text, backbone: share of captions that are not English
    clips: int = 12288  # backbone: clips encoded once and drawn from
    shifts: tuple[float, float] = (3.0, 24.0)  # backbone: how far training times are moved towards noise
    text_drop: float = 0.1  # backbone: share of captions dropped, for guidance

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset: one of {sorted(PRESETS)}, not {self.preset!r}")
        for name in ("steps", "batch", "save_every", "log_every", "threads", "clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1, not {getattr(self, name)}")
        for name in ("ema", "languages", "text_drop"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: 0 or more and less than 1, not {getattr(self, name)}")
        if any((frames - 1) % 4 or frames < 1 for frames in self.frames):
            raise ValueError(f"frames: each 4k+1, not {self.frames}")


def read_config(path: Path, **overrides: Any) -> TrainConfig:
    """Raises ValueError naming the file and the key that does not fit."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    values |= {key: value for key, value in overrides.items() if value is not None}
    unknown = set(values) - {field.name for field in fields(TrainConfig)}
    if unknown:
        raise ValueError(f"{path}: unknown keys {sorted(unknown)}")
    values |= {key: tuple(values[key]) for key in ("frames", "shifts") if isinstance(values.get(key), list)}
    try:
        return TrainConfig(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
