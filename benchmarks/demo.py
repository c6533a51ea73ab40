"""`make demo` as a user runs it, with the environment installed: what each phase takes."""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.result import figure

ROW = re.compile(r"[│|]\s*([a-z ]+?)\s*[│|]\s*([\d.]+)\s*[│|]")


def run(seed: int) -> dict[str, Any]:
    """The first run makes the database, the second continues with it; both are shown."""
    with tempfile.TemporaryDirectory() as scratch:
        first, second = (_demo(Path(scratch)) for _ in range(2))
    figures = [
        figure("whole demo, again", second["in all"], "s", target="< 40", ok=second["in all"] < 40, n=1,
               baseline=first["in all"], ratio=second["in all"] / first["in all"]),
        figure("of which generation, again", second["generation"], "s", target="< 5",
               ok=second["generation"] < 5, n=1, baseline=first["generation"],
               ratio=second["generation"] / first["generation"]),
    ]  # fmt: skip
    for phase, seconds in second.items():
        if phase not in ("in all", "generation"):
            figures.append(figure(phase, seconds, "s", target="stated", ok=True, n=1, baseline=first[phase]))
    return {"name": "demo", "figures": figures, "notes": ["beside: the run before, on an empty state folder"]}


def _demo(scratch: Path) -> dict[str, float]:
    command = [
        ".venv/bin/python",
        "examples/demo.py",
        "--directory",
        str(scratch / "var"),
        "--out",
        str(scratch / "o.mp4"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "100"})
    print(done.stdout)
    return {phase.strip(): float(seconds) for phase, seconds in ROW.findall(done.stdout)}
