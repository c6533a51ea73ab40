"""The node as `python -m edgecore_inference` runs it, but with the stand-in engine."""

import sys
from pathlib import Path

from edgecore_inference.__main__ import run

if __name__ == "__main__":
    run((sys.executable, str(Path(__file__).with_name("standin_engine.py"))))
