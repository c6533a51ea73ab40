"""A run's state on the disk: `state.pt` to go on from, and `state.json`, which says what it is.

Both are written beside their places and moved there, so that a kill leaves the old state whole; a kill
between the two moves is mended when the state is next read.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from edgecore_aiprod.errors import TrainingError
from edgecore_aiprod.replacement import partial, replacing
from edgecore_aiprod.training.config import Recipe, TrainConfig

STATE, FACTS = "state.pt", "state.json"


@dataclass(frozen=True)
class Facts:
    """What state.json says of state.pt."""

    step: int
    phase: str
    seconds: float  # trained in all
    config: str  # SHA-256 of the configuration file
    past: dict[str, Any]  # what `past` says of the configuration
    torch: str
    sha256: str = ""  # of state.pt


def past(config: TrainConfig, step: int) -> dict[str, Any]:
    """What the first `step` steps were: preset, seed, and the phases begun. A run may go on under another
    configuration where this is the same.
    """
    starts = accumulate((phase.steps for phase in config.phases), initial=0)
    begun = [_told(phase) for phase, start in zip(config.phases, starts, strict=False) if start < step]
    return {"preset": config.preset, "seed": config.seed, "phases": begun}


def _told(phase: Recipe) -> dict[str, Any]:
    """What differs from the defaults, as JSON gives it back; so a setting that is new to the trainer is no
    difference.
    """
    values = {field.name: getattr(phase, field.name) for field in fields(Recipe)}
    defaults = {field.name: field.default for field in fields(Recipe)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != defaults[name]
    }


def write_state(folder: Path, state: dict[str, Any], facts: Facts) -> None:
    """`facts` come without the hash."""
    path, said = folder / STATE, folder / FACTS
    with replacing(said) as said_partial, replacing(path) as path_partial:
        torch.save(state, path_partial)
        written = replace(facts, sha256=_sha256(path_partial))
        said_partial.write_text(json.dumps(asdict(written), indent=2) + "\n", encoding="utf-8")


def read_facts(folder: Path) -> Facts | None:
    """None where nothing was trained yet. Raises TrainingError unless state.json is of this state.pt."""
    path, said = folder / STATE, folder / FACTS
    if not path.exists():
        return None
    digest = _sha256(path)
    for file in (said, partial(said)):
        facts = _facts(file) if file.exists() else None
        if facts is not None and facts.sha256 == digest:
            os.replace(file, said)
            return facts
    if not said.exists():
        raise TrainingError(str(path), f"{FACTS} is missing, so nobody knows what it is; --force takes it")
    raise TrainingError(
        str(path), f"is cut off or not this run's: its sha256 is {digest}, {FACTS} says {_facts(said).sha256}"
    )


def check_past(folder: Path, facts: Facts, config: TrainConfig) -> None:
    """Raises TrainingError where `config` says otherwise than what was trained."""
    now = past(config, facts.step)
    differing = [key for key in ("preset", "seed") if facts.past.get(key) != now[key]]
    if facts.past.get("phases") != now["phases"]:
        differing.append("the phases begun")
    if differing:
        raise TrainingError(
            str(folder / FACTS),
            f"{facts.step} steps were trained under another configuration: "
            f"{' and '.join(differing)} must be the same",
        )


def read_state(folder: Path) -> dict[str, Any]:
    """Raises TrainingError on a file that is no state; checks no hash."""
    path = folder / STATE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise TrainingError(str(path), f"cannot be loaded: {error}") from error
    if not isinstance(state, dict) or not {"model", "ema", "optimiser", "step"} <= set(state):
        raise TrainingError(str(path), "must hold model, ema, optimiser and step")
    return state


def _facts(path: Path) -> Facts:
    try:
        facts = Facts(**json.loads(path.read_text(encoding="utf-8")))
        return replace(facts, past=dict(facts.past), step=int(facts.step))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(str(path), f"cannot be read: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
