"""A TOML table as a frozen dataclass: every key known, none missing, every value of its field's kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_KINDS = {
    "int": "a whole number",
    "float": "a finite number",
    "str": "text",
    "bool": "true or false",
    "tuple[int, ...]": "a list of at least one whole number",
    "tuple[float, float]": "a list of two finite numbers",
}


def from_table(kind: type[T], table: Mapping[str, Any], **others: Any) -> T:
    """`others` are fields that no table can set. Raises ValueError naming the key and what it takes."""
    known = {field.name: field for field in fields(kind) if field.name not in others}
    for key in table:
        if key not in known:
            raise ValueError(f"unknown key {key!r}; there are {', '.join(known)}")
    for name, field in known.items():
        if name not in table and field.default is MISSING:
            raise ValueError(f"{name}: is missing; {_KINDS[str(field.type)]}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    for key, value in values.items():
        wanted = str(known[key].type)
        if not _is(wanted, value):
            raise ValueError(f"{key}: {_KINDS[wanted]}, not {table[key]!r}")
    return kind(**values, **others)


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "int":
            return type(value) is int
        case "float":
            return type(value) in (int, float) and math.isfinite(value)
        case "tuple[int, ...]":
            return isinstance(value, tuple) and bool(value) and all(_is("int", one) for one in value)
        case "tuple[float, float]":
            return isinstance(value, tuple) and len(value) == 2 and all(_is("float", one) for one in value)
        case _:
            return type(value).__name__ == kind
