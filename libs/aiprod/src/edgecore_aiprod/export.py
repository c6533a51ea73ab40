"""`python -m edgecore_aiprod.export`: turn finished training runs into a checkpoint folder.

With --lora the run of an adapter's lesson becomes an adapter file instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgecore_aiprod.adapter import save_adapter
from edgecore_aiprod.checkpoint import save_model
from edgecore_aiprod.errors import AiprodError
from edgecore_aiprod.lora import checked_name
from edgecore_aiprod.model import DISTILLED, build_model
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.training.backbone import trained
from edgecore_aiprod.training.lora import trained_adapter


def export(runs: Path, folder: Path, preset: str) -> None:
    """Write the averaged weights of the runs, the decoder's second lesson, the upsampler and the distilled
    variant where they were run. Raises FileNotFoundError on a run that is missing.
    """
    model = build_model(PRESETS[preset])
    model.vae.load_state_dict(trained(runs / "vae" / "state.pt"))
    lessons = ["vae", "text", "backbone"]
    if (runs / "decoder" / "state.pt").exists():
        model.vae.decoder.load_state_dict(trained(runs / "decoder" / "state.pt"))
        lessons.append("decoder")
    if model.upsampler is not None and (runs / "upsampler" / "state.pt").exists():
        model.upsampler.load_state_dict(trained(runs / "upsampler" / "state.pt"))
        lessons.append("upsampler")
    else:
        model = replace(model, upsampler=None)
    model.text.load_state_dict(trained(runs / "text" / "state.pt", "encoder."))
    model.backbone.load_state_dict(trained(runs / "backbone" / "state.pt"))
    if (runs / DISTILLED / "state.pt").exists():
        model = replace(model, distilled=trained_adapter(runs / DISTILLED, DISTILLED))
        lessons.append(DISTILLED)
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
        "-o", "--out", type=Path, required=True, help="folder, or adapter file, to write; replaced if there"
    )
    parser.add_argument("--lora", metavar="NAME", help="write the adapter of the lesson lora under this name")
    parser.add_argument(
        "--trigger", action="append", default=[], help="of an adapter: a word that prompts must say"
    )
    parser.add_argument("--hint", default="", help="of an adapter: a caption of the kind it learned")
    options = parser.parse_args(arguments)
    try:
        if options.lora is None:
            export(options.runs, options.out, options.preset)
        else:
            name, triggers = checked_name(options.lora), tuple(options.trigger)
            save_adapter(trained_adapter(options.runs / "lora", name, triggers, options.hint), options.out)
    except (OSError, RuntimeError, AiprodError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in [options.out] if options.out.is_file() else sorted(options.out.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
