"""Kill -9 at every crash point, twice, and every kind of child at random times; then check every history."""

import asyncio
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.result import figure
from edgecore_cli.process import stack_process
from tests.chaos.harness import CHILDREN, POINTS, SETTINGS, Storm
from tests.chaos.history import violations

ROUNDS = 2


def run(seed: int) -> dict[str, Any]:
    """≥ 40 kills under load; what counts is what the history checker finds afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        return _storm(Path(scratch), seed)


def _storm(scratch: Path, seed: int) -> dict[str, Any]:
    crash_directory = scratch / "crash"
    crash_directory.mkdir()
    settings = SETTINGS | {"EDGECORE_CRASH_DIRECTORY": str(crash_directory)}
    with stack_process(scratch / "var", environment=settings, output=subprocess.DEVNULL) as stack:
        storm = Storm(stack, crash_directory, random.Random(seed), say=print)
        plan = [("point", point) for point in POINTS * ROUNDS] + [("child", child) for child in CHILDREN * ROUNDS]
        storm.random.shuffle(plan)
        for kind, name in plan:
            storm.kill_at(name) if kind == "point" else storm.kill_now(name)
        storm.settle()
        found = asyncio.run(violations(stack.record.database_url, stack.directory / "artifacts", storm.accepted))
    for problem in found:
        print(problem)
    return {
        "name": "crash",
        "figures": _figures(storm, found),
        "notes": [f"first violations: {found[:5]}"] if found else [],
    }


def _figures(storm: Storm, found: list[str]) -> list[dict[str, Any]]:
    kinds = Counter("lost" if "lost" in one else "double" if "terminal" in one else "other" for one in found)
    kills, jobs = len(storm.kills), len(set(storm.accepted))
    return [
        figure("processes killed with SIGKILL", kills, "kills", target="≥ 40", ok=kills >= 40, n=kills),
        figure("jobs lost", kinds["lost"], "jobs", target="0", ok=kinds["lost"] == 0, n=jobs),
        figure(
            "jobs without exactly one terminal state",
            kinds["double"],
            "jobs",
            ok=kinds["double"] == 0,
            target="0",
            n=jobs,
        ),
        figure("other broken promises", kinds["other"], "findings", target="0", ok=kinds["other"] == 0, n=jobs),
    ]
