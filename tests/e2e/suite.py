"""The end-to-end suite against a house that runs already, wherever that is."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 840.0


def end_to_end_suite(url: str, key: str, password: str) -> None:
    """Run it in a process of its own; raises AssertionError with what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "EDGECORE_TEST_REAL"} | {
        "EDGECORE_E2E_URL": url,
        "EDGECORE_E2E_KEY": key,
        "EDGECORE_E2E_PASSWORD": password,
    }
    # test_fallback brings stacks of its own, without nodes.
    options = ["-q", "tests/e2e", "--ignore=tests/e2e/test_fallback.py", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
