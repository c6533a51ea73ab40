"""Checks of single fields. Each takes what was sent and gives the value to use, or raises Refused with the rule
that it breaks and the nearest value that would be accepted, where there is one.
"""

import difflib
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from edgecore_contracts.money import MICROS
from edgecore_contracts.money import text as text_of_money

METADATA_PAIRS = 16
METADATA_CHARACTERS = 512
MONEY_MOST = 1_000_000
"""USD; more for one job or month is a slip."""

_AMOUNT = re.compile(r"-?\d{1,12}(\.\d{1,12})?", re.ASCII)


class Refused(ValueError):
    """One broken rule."""

    def __init__(self, rule: str, nearest: Any = None) -> None:
        super().__init__(rule)
        self.rule = rule
        self.nearest = nearest


def integer(value: Any, low: int, high: int) -> int:
    """An integer in [low, high]; 17.0 is one, true and "17" are not."""
    rule = f"must be an integer from {low} to {high}"
    number = finite(value, rule)
    if number != (whole := _nearest_int(number)):
        raise Refused(rule, min(max(whole, low), high))
    if not low <= whole <= high:
        raise Refused(rule, min(max(whole, low), high))
    return whole


def number(value: Any, low: float, high: float) -> float:
    """A finite number in [low, high]."""
    rule = f"must be a number from {low:g} to {high:g}"
    found = finite(value, rule)
    if not low <= found <= high:
        raise Refused(rule, low if found < low else high)
    return float(found)


def boolean(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise Refused("must be true or false")
    return value


def multiple(value: Any, of: int, low: int, high: int) -> int:
    """A multiple of `of` in [low, high], which are multiples themselves."""
    rule = f"must be a multiple of {of} from {low} to {high}"
    found = finite(value, rule)
    nearest = min(max(round_half_up(found, of), low), high)
    if found != nearest:
        raise Refused(rule, nearest)
    return nearest


def frame_count(value: Any, step: int, low: int, high: int) -> int:
    """step·k + 1 in [low, high], which are such counts themselves."""
    rule = f"must be {step}k+1 from {low} to {high}"
    found = finite(value, rule)
    nearest = min(max(round_half_up(found - 1, step) + 1, low), high)
    if found != nearest:
        raise Refused(rule, nearest)
    return nearest


def frames_of_seconds(value: Any, fps: float, step: int, low: int, high: int) -> int:
    """The valid frame count nearest to `value` seconds at `fps`."""
    rule = f"must be {low / fps:.3g} to {high / fps:.3g} seconds at {fps:g} frames per second"
    found = finite(value, rule)
    asked = min(max(found, 0), 2 * high) * fps
    count = round_half_up(asked - 1, step) + 1
    if not low <= count <= high:
        raise Refused(rule, round((low if count < low else high) / fps, 3))
    return count


def money(value: Any) -> int:
    """Micros of USD from a number or from text such as "1.25"; at most 6 decimals, at most MONEY_MOST USD."""
    rule = f"must be an amount in USD from 0 to {MONEY_MOST}, a string or a number, with at most 6 decimals"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refused(rule)
    if isinstance(value, str) and not _AMOUNT.fullmatch(value):
        raise Refused(rule)
    amount = Decimal(str(value)) if not isinstance(value, int) else Decimal(min(max(value, -1), MONEY_MOST + 1))
    if not amount.is_finite():
        raise Refused(rule)
    if not 0 <= amount <= MONEY_MOST:
        raise Refused(rule, "0.000000" if amount < 0 else f"{MONEY_MOST}.000000")
    exact = amount * MICROS
    if exact != (micros := int(exact.to_integral_value())):
        raise Refused(rule, text_of_money(micros))
    return micros


def text(value: Any, low: int, high: int) -> str:
    """Characters that every part can store; `low` to `high` of them after white space at the ends is gone."""
    rule = f"must be text of {low} to {high} characters" if low else f"must be text of at most {high} characters"
    if not isinstance(value, str):
        raise Refused(rule)
    _storable(value)
    stripped = value.strip()
    if len(stripped) > high:
        raise Refused(f"{rule}, has {len(stripped)}", stripped[:high].strip())
    if len(stripped) < low:
        raise Refused(rule)
    return stripped


def choice(value: Any, allowed: Sequence[str]) -> str:
    """One of `allowed`."""
    rule = "must be one of " + ", ".join(allowed)
    if not isinstance(value, str):
        raise Refused(rule)
    if value not in allowed:
        raise Refused(rule, closest(value, allowed) or allowed[0])
    return value


def choices(value: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    """A list of one or more of `allowed`, none twice."""
    rule = "must be a list of one or more of " + ", ".join(allowed)
    if not isinstance(value, list):
        raise Refused(rule, [value] if value in allowed else None)
    kept = [one for one in allowed if one in value]
    if not kept or len(kept) != len(value):
        raise Refused(rule + ", none twice", kept or [allowed[0]])
    return tuple(value)


def pairs(value: Any) -> dict[str, str]:
    """The caller's own notes: at most 16 pairs of text, at most 512 characters each."""
    rule = f"must be an object of at most {METADATA_PAIRS} pairs of text, {METADATA_CHARACTERS} characters each"
    if not isinstance(value, dict):
        raise Refused(rule)
    for part in [one for pair in value.items() for one in pair]:
        if not isinstance(part, str) or len(part) > METADATA_CHARACTERS:
            raise Refused(rule)
        _storable(part)
    if len(value) > METADATA_PAIRS:
        raise Refused(rule, dict(list(value.items())[:METADATA_PAIRS]))
    return value


def closest(name: str, names: Sequence[str]) -> str | None:
    """The known name that was probably meant."""
    return next(iter(difflib.get_close_matches(name[:64].lower(), names, n=1, cutoff=0.5)), None)


def round_half_up(value: float, unit: int) -> int:
    """The multiple of `unit` nearest to `value`."""
    return math.floor(min(max(value, -1e15), 1e15) / unit + 0.5) * unit


def finite(value: Any, rule: str) -> int | float:
    """A number as JSON has them; true, NaN and "17" are none. Raises Refused with `rule`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(rule)
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(rule)
    return value


def _storable(value: str) -> None:
    if "\0" in value:
        raise Refused("must not contain the character NUL")
    try:
        value.encode()  # one call in C: a body may hold millions of characters
    except UnicodeEncodeError as error:
        raise Refused("must be valid Unicode, without unpaired surrogates") from error


def _nearest_int(value: float) -> int:
    return value if isinstance(value, int) else math.floor(value + 0.5)
