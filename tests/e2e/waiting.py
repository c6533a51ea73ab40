"""Waiting for what the events will have told everybody in a moment."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def soon(read: Callable[[], Value | None], seconds: float = 30.0, pause: float = 0.1) -> Value:
    """What `read` returns once it is true; raises AssertionError with its last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := read()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {found!r}"
        time.sleep(pause)
    return found
