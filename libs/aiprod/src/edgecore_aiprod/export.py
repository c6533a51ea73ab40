"""`python -m edgecore_aiprod.export`: turn finished training runs into a checkpoint folder."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edgecore_aiprod.checkpoint import build_model, save_model
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.training.backbone import trained


def export(runs: Path, folder: Path, preset: str) -> None:
    """Write the averaged weights of the runs, the decoder's second lesson where it was run. Raises
    FileNotFoundError on a run that is missing.
    """
    model = build_model(PRESETS[preset])
    model.vae.load_state_dict(trained(runs / "vae" / "state.pt"))
    lessons = ["vae", "text", "backbone"]
    if (runs / "decoder" / "state.pt").exists():
        model.vae.decoder.load_state_dict(trained(runs / "decoder" / "state.pt"))
        lessons.append("decoder")
    model.text.load_state_dict(trained(runs / "text" / "state.pt", "encoder."))
    model.backbone.load_state_dict(trained(runs / "backbone" / "state.pt"))
    save_model(model, folder, {lesson: _last_line(runs / lesson) for lesson in lessons})


def _last_line(run: Path) -> dict[str, Any]:
    """What the run's log ended with: step, seconds, loss."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    last: dict[str, Any] = json.loads(lines[-1])
    return {key: last[key] for key in ("step", "loss")}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edgecore_aiprod.export", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs, one folder a lesson")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="nano")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder to write; existing weights are replaced"
    )
    options = parser.parse_args(arguments)
    try:
        export(options.runs, options.out, options.preset)
    except (OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in sorted(options.out.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
