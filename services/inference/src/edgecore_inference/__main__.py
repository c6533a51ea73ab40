"""`python -m edgecore_inference serve|settings`."""

import sys
from collections.abc import Sequence

from edgecore_inference.adapters.engine_process import CheckpointUnusable, EngineNotStarted
from edgecore_inference.bootstrap import ENGINE, build
from edgecore_inference.settings import Settings
from edgecore_runtime import main
from edgecore_runtime.service import Service

CHECKPOINT_STATUS = 3


def run(engine: Sequence[str] = ENGINE) -> None:
    """Do what the command line says; ends the process, with status 3 for an unusable checkpoint."""

    def build_node(settings: Settings) -> Service:
        return build(settings, engine=engine)

    try:
        main.run("inference", Settings, build_node)
    except CheckpointUnusable as error:
        print(f"inference: checkpoint: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(CHECKPOINT_STATUS)
    except EngineNotStarted as error:
        print(f"inference: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    run()
