"""Kill -9 of each of the seven services at random times while 100 jobs run; then check histories and books."""

import asyncio
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.result import figure
from edgecore_cli.process import stack_process
from tests.chaos.books import audit
from tests.chaos.harness import SERVICES, SETTINGS, Storm
from tests.chaos.history import violations

JOBS = 100


def run(seed: int) -> dict[str, Any]:
    """Every service at least twice, in turns, until all jobs are accepted."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        stack_process(Path(scratch) / "var", environment=SETTINGS, output=subprocess.DEVNULL) as stack,
    ):
        storm = Storm(stack, Path(scratch), random.Random(seed), say=print)
        while len(storm.accepted) < JOBS or len(storm.kills) < 2 * len(SERVICES):
            for _ in range(JOBS // (2 * len(SERVICES))):
                storm.submit()
            storm.kill_now(SERVICES[len(storm.kills) % len(SERVICES)])
        storm.settle()
        url, artifacts = stack.record.database_url, stack.directory / "artifacts"
        histories = asyncio.run(violations(url, artifacts, storm.accepted))
        books = asyncio.run(audit(url, storm.accepted))
    for problem in histories + books:
        print(problem)
    return {"name": "house-kill", "figures": _figures(storm, histories, books)}


def _figures(storm: Storm, histories: list[str], books: list[str]) -> list[dict[str, Any]]:
    kills, jobs = Counter(storm.kills), len(set(storm.accepted))
    lost = sum("lost" in one for one in histories)
    return [
        figure("kills of the rarest service", min(kills.values()), "kills", target="≥ 1", ok=len(kills) == 7, n=7),
        figure("jobs accepted", jobs, "jobs", target="≥ 100", ok=jobs >= JOBS, n=sum(kills.values())),
        figure("jobs lost", lost, "jobs", target="0", ok=lost == 0, n=jobs),
        figure(
            "histories broken otherwise",
            len(histories) - lost,
            "jobs",
            target="0",
            ok=len(histories) == lost,
            n=jobs,
        ),
        figure("books that disagree", len(books), "findings", target="0", ok=not books, n=jobs),
    ]
