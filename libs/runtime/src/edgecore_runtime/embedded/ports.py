"""Free TCP ports on the loopback address."""

from __future__ import annotations

import os
import random
import socket
from contextlib import ExitStack

# Below the range from which Linux (32768-60999) and macOS (49152-65535) draw the local port of outgoing
# connections. Otherwise a client that keeps dialling a broker which is just being restarted can be given the
# broker's own port, connect to itself, and keep the broker from coming back.
FIRST, LAST = 20_000, 31_999
RANGE = "EDGECORE_PORTS"
"""The environment's `first-last`, for those who start many processes beside one another: a port that was found
is free for all until it is bound.
"""
ATTEMPTS = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True when a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
            candidate.listen(1)
        except OSError:
            return False
        return True


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` different ports, each free a moment ago. Raises OSError when there are none to be had."""
    found: list[int] = []
    candidates = _range()
    with ExitStack() as held:
        for port in random.sample(candidates, min(ATTEMPTS + count, len(candidates))):
            if len(found) == count:
                break
            candidate = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            try:
                candidate.bind((host, port))
            except OSError:
                continue
            found.append(port)
    if len(found) < count:
        raise OSError(
            f"found only {len(found)} of {count} free ports between {candidates[0]} and {candidates[-1]}"
        )
    return found


def _range() -> range:
    text = os.environ.get(RANGE, f"{FIRST}-{LAST}")
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65_536):
        raise OSError(f"{RANGE} must be two ports like {FIRST}-{LAST}, is {text!r}")
    return range(int(first), int(last) + 1)
