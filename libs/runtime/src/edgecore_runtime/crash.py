"""Crash points: named places where a fault test can kill the process as SIGKILL does.

A test arms a point by writing a file of its name, holding the number of passes to let through first, into the
directory of EDGECORE_CRASH_DIRECTORY. Without that variable a point costs one comparison.
"""

import os
import signal
from pathlib import Path

_directory = os.environ.get("EDGECORE_CRASH_DIRECTORY")
_service = ""


def configure(service: str) -> None:
    """Put the service's name before the names of its points."""
    global _service
    _service = service


def point(name: str) -> None:
    """Die here if a test armed `<service>.<name>`."""
    if _directory is None:
        return
    armed = Path(_directory) / f"{_service}.{name}"
    try:
        passes = int(armed.read_text() or "0")
    except FileNotFoundError:
        return
    if passes > 0:
        armed.write_text(str(passes - 1))
        return
    armed.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
