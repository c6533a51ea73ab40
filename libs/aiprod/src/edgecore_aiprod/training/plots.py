"""`curves.png`: a run's loss and learning rate over its phases, drawn from its log. Needs matplotlib, the
extra `train`.
"""

from __future__ import annotations

import importlib.util
import json
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecore_aiprod.replacement import replacing
from edgecore_aiprod.training.config import Recipe

LOG, CURVES = "log.jsonl", "curves.png"
_WINDOW = 0.03  # of the smoothed loss, as a share of the points


def can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def read_log(folder: Path) -> list[dict[str, float]]:
    """The whole lines of the run's log; of steps done twice, after a kill, the later ones."""
    path = folder / LOG
    if not path.exists():
        return []
    kept: list[dict[str, float]] = []
    for text in path.read_text(encoding="utf-8").split("\n")[:-1]:
        line = json.loads(text)
        while kept and kept[-1]["step"] >= line["step"]:
            kept.pop()
        kept.append(line)
    return kept


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The running median over a small share of the points around each: one bad batch leaves no mark."""
    reach = max(1, round(len(values) * _WINDOW / 2))
    return np.array([np.median(values[max(0, at - reach) : at + reach + 1]) for at in range(len(values))])


def draw_curves(folder: Path, phases: tuple[Recipe, ...]) -> None:
    """Write the picture into the run's folder; nothing while the log is empty."""
    from matplotlib.figure import Figure

    log = read_log(folder)
    if not log:
        return
    step = np.array([line["step"] for line in log])
    loss = np.array([line["loss"] for line in log])
    figure = Figure(figsize=(9.0, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot(step, loss, color="C0", alpha=0.3, linewidth=0.8, label="loss")
    upper.plot(step, smooth(loss), color="C0", label="running median")
    upper.set_yscale("log")
    upper.set_ylabel("loss")
    upper.legend(loc="lower left")
    lower.plot(step, [line["rate"] for line in log], color="C1")
    ends = list(accumulate(phase.steps for phase in phases))
    lower.set(yscale="log", ylabel="learning rate", xlabel="step", xlim=(0, ends[-1]))
    for number, (phase, end) in enumerate(zip(phases, ends, strict=True)):
        for axes in (upper, lower):
            axes.axvspan(end - phase.steps, end, color=f"C{number}", alpha=0.08, linewidth=0.0)
        upper.annotate(
            phase.name,
            (end - phase.steps, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            fontsize=8,
        )
    with replacing(folder / CURVES) as partial:
        figure.savefig(partial, dpi=110, format="png")
