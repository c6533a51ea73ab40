"""How long `edgecore up` takes until all services answer, and how much memory the whole stack holds."""

import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.result import figure
from edgecore_cli.process import StackProcess, stack_process

STARTS = 3
SETTLE_SECONDS = 5.0


def run(seed: int) -> dict[str, Any]:
    """The first start makes a database, the others find it."""
    seconds = []
    memory: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(STARTS):
            began = time.monotonic()
            with stack_process(Path(scratch) / "var", output=subprocess.DEVNULL) as stack:
                seconds.append(time.monotonic() - began)
                time.sleep(SETTLE_SECONDS)
                memory = _memory(stack)
    model = memory.pop("engine", 0.0)
    return {
        "name": "up",
        "figures": [
            figure("first start to ready", seconds[0], "s", target="≤ 15", ok=seconds[0] <= 15, n=1),
            figure(
                "later starts, median", statistics.median(seconds[1:]), "s", target="≤ 15", ok=True, n=STARTS - 1
            ),
            figure(
                "memory without the model",
                sum(memory.values()),
                "MB",
                target="≤ 2000",
                ok=sum(memory.values()) <= 2000,
                n=1,
            ),
            figure("memory of the model's process", model, "MB", target="stated", ok=True, n=1),
        ],
        "notes": ["proportional set size: " + ", ".join(f"{name} {size:.0f} MB" for name, size in memory.items())],
    }


def _memory(stack: StackProcess) -> dict[str, float]:
    """Megabytes by child; pages that processes share are counted once, in shares (PSS)."""
    sizes: dict[str, float] = {"edgecore up": _pss(psutil.Process(stack.process.pid))}
    for name, child in stack.record.children.items():
        process = psutil.Process(child.pid)
        below = process.children(recursive=True)
        engines = [one for one in below if any("edgecore_inference.engine" in word for word in one.cmdline())]
        sizes["engine"] = sizes.get("engine", 0.0) + sum(map(_pss, engines))
        sizes[name] = _pss(process) + sum(_pss(one) for one in below if one not in engines)
    return sizes


def _pss(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / 1e6
