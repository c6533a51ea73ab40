"""What a benchmark's figures look like, and on what they were measured."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path("results")


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    target: str,
    ok: bool,
    n: int,
    baseline: float | None = None,
    ratio: float | None = None,
) -> dict[str, Any]:
    """One measured number: `n` samples, beside what it is compared with and what was asked for."""
    return {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 4),
        "ratio": None if ratio is None else round(ratio, 4),
        "target": target,
        "ok": ok,
        "n": n,
    }


def share(
    name: str, value: float, n: int, *, beside: float | None = None, least: float | None = None
) -> dict[str, Any]:
    """The figure of a share of `n`, which is asked to be `least`."""
    return figure(
        name,
        value,
        "share",
        target="stated" if least is None else f"≥ {least:.2f}",
        ok=least is None or value >= least,
        n=n,
        baseline=beside,
        ratio=value / beside if beside else None,
    )


def conditions() -> str:
    """What else decides how long a pass takes: other work on the machine, and how threads wait for each other."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    waiting = os.environ.get("OMP_WAIT_POLICY", "by default")
    return f"the machine's load after 1, 5, 15 minutes: {load}; threads wait {waiting.lower()}"


def stamp() -> dict[str, Any]:
    """Date, commit and machine."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip() + ("+" if changed.stdout.strip() else ""),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
