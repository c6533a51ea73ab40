"""One end-to-end suite, three deployments: the local stack, processes on real Kafka, and the cluster.

The last two need what `make test-real` and `make test-cluster` need, images loaded included.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.result import figure

DEPLOYMENTS = {
    "local stack": ({}, "tests/e2e"),
    "real Kafka, PostgreSQL, Redis": ({"EDGECORE_TEST_REAL": "1"}, "tests/real/test_house.py"),
    "cluster": (
        {"EDGECORE_TEST_CLUSTER": "1"},
        "tests/cluster/test_house.py::test_the_end_to_end_suite_passes",
    ),
}
"""Environment and tests; the last two run the suite of the first in a process of their own."""


@dataclass(frozen=True)
class Outcome:
    passed: int
    failed: int
    skipped: int
    seconds: float


def run(seed: int) -> dict[str, Any]:
    """Passed, failed and skipped tests of the suite in each deployment."""
    outcomes = {name: _suite(environment, tests) for name, (environment, tests) in DEPLOYMENTS.items()}
    return {
        "name": "house-e2e",
        "figures": [
            figure(
                f"{name}: passed",
                one.passed,
                "tests",
                target="all",
                ok=one.passed > 0 and not one.failed,
                n=_n(one),
            )
            for name, one in outcomes.items()
        ],
        "notes": [
            f"{name}: {one.failed} failed, {one.skipped} left out (local stack only), {one.seconds:.0f} s"
            for name, one in outcomes.items()
        ],
    }


def _n(outcome: Outcome) -> int:
    return outcome.passed + outcome.failed + outcome.skipped


def _suite(environment: dict[str, str], tests: str) -> Outcome:
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-s", tests]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    print(done.stdout[-4000:])
    # The suite's own summary is the first; one around it has a summary of one test.
    summaries = [
        line for line in done.stdout.splitlines() if re.search(r"\d+ (passed|failed|error).* in [\d.]+s", line)
    ]
    summary = summaries[0] if summaries else ""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", summary)}
    failed = counts.get("failed", 0) + counts.get("error", 0) + (done.returncode != 0)
    return Outcome(counts.get("passed", 0), failed, counts.get("skipped", 0), time.monotonic() - began)
