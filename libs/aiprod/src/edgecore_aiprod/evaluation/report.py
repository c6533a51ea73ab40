"""A report on a checkpoint: report.json for programs, report.html (see `page`) for people."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from edgecore_aiprod.checkpoint import CONFIG
from edgecore_aiprod.evaluation.page import render_page
from edgecore_aiprod.evaluation.parts import PARTS
from edgecore_aiprod.evaluation.pictures import Picture
from edgecore_aiprod.evaluation.subject import Settings, Subject
from edgecore_aiprod.pipeline import AiprodPipeline

FORMAT = "edgecore-aiprod-report/1"


def write_report(
    folder: Path, checkpoint: Path, settings: Settings, parts: Sequence[str] = tuple(PARTS)
) -> dict[str, Any]:
    """Evaluate a checkpoint, write both files into `folder` (made if missing), and return what report.json
    holds.

    Raises CheckpointError, and KeyError on a part that is not one of PARTS.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise KeyError(f"parts: {unknown}; there are {list(PARTS)}")
    subject = Subject(AiprodPipeline.from_pretrained(checkpoint), settings)
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    pictures: dict[str, list[Picture]] = {}
    seconds: dict[str, float] = {}
    for name in (name for name in PARTS if name in parts):
        started = time.perf_counter()
        figures[name], pictures[name] = PARTS[name](subject)
        seconds[name] = round(time.perf_counter() - started, 1)
    report = {
        "format": FORMAT,
        "made": _circumstances(checkpoint, subject) | {"seconds": seconds},
        "settings": {name: value for name, value in asdict(settings).items() if name != "quiet"},
        "parts": figures,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / "report.html").write_text(render_page(report, pictures), "utf-8")
    return report


def _circumstances(checkpoint: Path, subject: Subject) -> dict[str, Any]:
    """When, of what, with what."""
    config = json.loads((checkpoint / CONFIG).read_text("utf-8"))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": subject.pipeline.model.params.name,
        "files": {name: file["sha256"] for name, file in config["files"].items()},
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }
