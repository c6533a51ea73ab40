"""Tell Prometheus where the local stack's services are.

`python observability/targets.py [var]` reads `stack.json` in the stack's folder and writes what Prometheus reads.
"""

import json
import sys
from pathlib import Path

FILE = Path(__file__).parent / "prometheus" / "targets.json"


def targets(stack: dict[str, dict[str, dict[str, str]]]) -> list[dict[str, object]]:
    """The services as Prometheus's file discovery wants them, from the stack's record."""
    found: list[dict[str, object]] = []
    for service, settings in stack["environment"].items():
        address = f"{settings['EDGECORE_HTTP_HOST']}:{settings['EDGECORE_HTTP_PORT']}"
        found.append({"targets": [address], "labels": {"service": service}})
    return found


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "var")
    try:
        stack = json.loads((folder / "stack.json").read_text())
    except FileNotFoundError:
        sys.exit(f"no stack runs in {folder}: start one with `edgecore up`")
    FILE.write_text(json.dumps(targets(stack), indent=2) + "\n")


if __name__ == "__main__":
    main()
