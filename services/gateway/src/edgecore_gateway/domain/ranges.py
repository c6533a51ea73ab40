"""HTTP byte ranges (RFC 9110, section 14)."""

import re

_SINGLE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Unsatisfiable(ValueError):
    """No byte of the object lies in the range."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (not included) of the single range asked for; None means the whole object.

    What is not a single well-formed range of bytes is ignored, as the RFC allows. Raises Unsatisfiable.
    """
    match = _SINGLE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise Unsatisfiable(f"the object has {size} bytes")
    return start, end
