"""A few kills of each kind; `make bench NAME=crash` does them all."""

import os
import random
import subprocess
from pathlib import Path

import pytest

from edgecore_cli.process import stack_process

from .books import audit
from .harness import SERVICES, SETTINGS, Storm
from .history import violations

SEED = int(os.environ.get("EDGECORE_CHAOS_SEED", "20261121"))
POINTS = (
    "gateway.commit.after",
    "scheduler.publish.after",
    "scheduler.ack.before",
    "cost.commit.after",
    "cost.publish.after",
    "inference.upload.after",
    "engine.step",
)
CHILDREN = ("broker", *SERVICES)


@pytest.mark.local
@pytest.mark.timeout(600)
async def test_no_job_is_lost_and_none_ends_twice(tmp_path: Path) -> None:
    print(f"seed {SEED}; set EDGECORE_CHAOS_SEED to repeat")
    crash_directory = tmp_path / "crash"
    crash_directory.mkdir()
    settings = SETTINGS | {"EDGECORE_CRASH_DIRECTORY": str(crash_directory)}
    with stack_process(tmp_path / "var", environment=settings, output=subprocess.DEVNULL) as stack:
        storm = Storm(stack, crash_directory, random.Random(SEED), say=print)
        for point in POINTS:
            storm.kill_at(point)
        for child in CHILDREN:
            storm.kill_now(child)
        storm.settle()
        problems = await violations(stack.record.database_url, stack.directory / "artifacts", storm.accepted)
        problems += await audit(stack.record.database_url, storm.accepted)
    assert problems == []
    assert len(storm.kills) == len(POINTS) + len(CHILDREN)
