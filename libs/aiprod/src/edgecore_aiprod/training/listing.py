"""The list of a folder's clips: `captions.csv` or `captions.jsonl`, one clip and what it shows a line.

CSV has the header `file,caption`; JSONL one object `{"file": …, "caption": …}` a line. Both are UTF-8, and
files are named relative to the folder.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edgecore_aiprod.errors import InvalidRequest, TrainingError
from edgecore_aiprod.rules import NANO_RULES, check_text

LISTINGS = ("captions.csv", "captions.jsonl")
COLUMNS = ("file", "caption")


class Row(NamedTuple):
    line: int  # in the listing, from 1
    file: Path  # inside the folder
    caption: str


def find_listing(folder: Path) -> Path:
    """Raises TrainingError unless the folder has exactly one."""
    found = [folder / name for name in LISTINGS if (folder / name).is_file()]
    if len(found) != 1:
        there = "none" if not found else "both"
        raise TrainingError(str(folder), f"must hold {' or '.join(LISTINGS)}, and holds {there}")
    return found[0]


def read_listing(path: Path) -> tuple[list[Row], list[str]]:
    """The rows that can be used, and by line what is wrong with the others. Raises TrainingError where no row
    can be told from another.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TrainingError(str(path), f"line {line}: is not UTF-8") from error
    rows, problems = [], []
    for line, values in _csv(path, text) if path.suffix == ".csv" else _jsonl(text):
        try:
            rows.append(_row(path.parent, line, values))
        except (ValueError, OSError) as error:
            problems.append(f"line {line}: {error}")
    return rows, problems


def _csv(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="(more)", strict=True)
    try:
        _check_columns(dict.fromkeys(reader.fieldnames or ()))
        for values in reader:
            yield reader.line_num, values
    except (csv.Error, ValueError) as error:
        raise TrainingError(str(path), f"line {max(1, reader.line_num)}: {error}") from error


def _jsonl(text: str) -> Iterator[tuple[int, Any]]:
    for line, one in enumerate(text.split("\n"), start=1):
        if not one.strip():
            continue
        try:
            yield line, json.loads(one)
        except (json.JSONDecodeError, RecursionError) as error:
            yield line, error


def _row(folder: Path, line: int, values: Any) -> Row:
    """Raises ValueError saying what is wrong."""
    if isinstance(values, Exception):
        raise ValueError(f"is not JSON: {values}")
    if not isinstance(values, dict):
        raise ValueError('must be an object {"file": …, "caption": …}')
    _check_columns(values)
    for column in COLUMNS:
        check_text(column, values[column], NANO_RULES.prompt)
    file = Path(values["file"])
    if file.is_absolute() or ".." in file.parts:
        raise InvalidRequest("file", f"a path inside {folder}", values["file"])
    if not (folder / file).is_file():
        raise ValueError(f"{file}: is missing")
    return Row(line, folder / file, values["caption"])


def _check_columns(values: dict[str, Any]) -> None:
    unknown = [column for column in values if column not in COLUMNS]
    absent = [column for column in COLUMNS if column not in values]
    if unknown:
        raise ValueError(f"unknown column {unknown[0]!r}; there are {' and '.join(COLUMNS)}")
    if absent:
        raise ValueError(f"column {absent[0]!r} is missing")
