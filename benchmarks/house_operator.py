"""A pool of no nodes, and a job: how long until its video and until no node, as `make test-cluster` saw it."""

import json
from pathlib import Path
from typing import Any

from benchmarks.result import figure

TIMELINE = Path("build/cluster/operator.json")


def run(seed: int) -> dict[str, Any]:
    """The test's own timeline, printed. Raises FileNotFoundError where the test has not run."""
    story = json.loads(TIMELINE.read_text())
    for one in story["timeline"]:
        print(
            f"{one['at']:6.1f} s  job {one['job']:10s} desired {one['desired']}  ready {one['ready']}"
            f"  pods {one['pods']}  {one['reason'] or ''}"
        )
    moments = story["moments"]
    most = max(one["pods"] for one in story["timeline"])
    figures = [
        figure("from the job to a node asked for", moments["wanted"], "s", target="stated", ok=True, n=1),
        figure(
            "from the job to its video, on a node that had to start",
            moments["delivered"],
            "s",
            target="stated",
            ok=True,
            n=1,
        ),
        figure(
            "from the video to no node", moments["gone"] - moments["delivered"], "s", target="stated", ok=True, n=1
        ),
        figure("most pods at a time", most, "pods", target="1", ok=most == 1, n=len(story["timeline"])),
        figure(
            "attempts that failed",
            story["failed_attempts"],
            "attempts",
            target="0",
            ok=story["failed_attempts"] == 0,
            n=1,
        ),
    ]
    return {"name": "house-operator", "figures": figures, "notes": [*story["events"]]}
