"""`python -m benchmarks [NAME]`: run one benchmark, print its figures as the last line, keep them in results/."""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.page import write_page
from benchmarks.result import RESULTS, stamp

NAMES = {
    "demo": "make demo, twice: time of each phase",
    "model": "the detector on 200 unseen English prompts",
    "submit": "POST /generate with 32 clients, beside a bare FastAPI no-op",
    "crash": "kill -9 at every crash point and at random times; then the history checker",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=…", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(NAMES))
    parser.add_argument("--seed", type=int, default=20261121)
    arguments = parser.parse_args()
    if arguments.name is None:
        for name, about in NAMES.items():
            print(f"{name:10s} {about}")
        return
    result = importlib.import_module(f"benchmarks.{arguments.name}").run(arguments.seed) | {"seed": arguments.seed}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{arguments.name}.json").write_text(json.dumps(result | stamp(), indent=2) + "\n")
    write_page(Path("docs/benchmarks.md"), RESULTS)
    print(json.dumps(result))
    sys.exit(0 if all(figure["ok"] for figure in result["figures"]) else 1)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"benchmark failed: {error}")
