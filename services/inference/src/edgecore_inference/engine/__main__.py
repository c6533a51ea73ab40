"""`python -m edgecore_inference.engine CHECKPOINT THREADS`, started by the agent."""

import sys

from edgecore_inference.engine.aiprod import AiprodModel
from edgecore_inference.engine.loop import serve

if __name__ == "__main__":
    serve(lambda: AiprodModel.load(sys.argv[1], int(sys.argv[2])))
