"""Identifiers: a type prefix and a ULID, so that they sort by creation time and say what they name."""

from ulid import ULID


def new_id(prefix: str) -> str:
    """For example `job_01KAJ2W9C1Q8V5T0Z3M7X4R6NB`."""
    return f"{prefix}_{ULID()}"
