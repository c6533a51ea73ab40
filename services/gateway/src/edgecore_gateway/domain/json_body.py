"""Reading a JSON object that a stranger sent: every way it can be wrong is one typed error."""

import json
from typing import Any


class MalformedJson(ValueError):
    """The bytes are not one unambiguous JSON text."""


def parse(raw: bytes) -> Any:
    """The JSON value in `raw` (UTF-8). Raises MalformedJson, also for a repeated name, NaN or Infinity."""
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise MalformedJson(f"not UTF-8: byte {error.start} is {raw[error.start]:#04x}") from error
    except RecursionError as error:
        raise MalformedJson("nested too deeply") from error
    except MalformedJson:
        raise
    except json.JSONDecodeError as error:
        raise MalformedJson(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise MalformedJson("a number has too many digits") from error


def printable(text: str, most: int = 80) -> str:
    """`text` so that it can be written into any answer: escaped where it is not valid Unicode, and cut."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    return clean if len(clean) <= most else clean[:most] + "…"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise MalformedJson(f"the name {printable(repeated)!r} stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise MalformedJson(f"{name} is not JSON")
