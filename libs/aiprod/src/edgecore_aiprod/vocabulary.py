"""Five hundred terms of film and video, each with a vector of its own in the text encoder.

The list is data (`data/vocabulary.tsv`: term, group, definition); a term's place in it is its id, so the file
may grow at its end and never change its order.
"""

from __future__ import annotations

import csv
import functools
import re
from importlib import resources
from typing import NamedTuple


class Term(NamedTuple):
    term: str  # lower-case English, as it stands in a prompt
    group: str
    definition: str


@functools.cache
def vocabulary() -> tuple[Term, ...]:
    """All terms, by id."""
    text = resources.files("edgecore_aiprod").joinpath("data/vocabulary.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(Term(row["term"], row["group"], row["definition"]) for row in rows)


@functools.cache
def _pattern() -> tuple[re.Pattern[str], dict[str, int]]:
    ids = {term.term: number for number, term in enumerate(vocabulary())}
    longest_first = sorted(ids, key=len, reverse=True)
    either = "|".join(map(re.escape, longest_first))
    return re.compile(rf"\b(?:{either})\b", re.ASCII), ids  # no space is needed beside another script


def find_terms(prompt: str) -> list[int]:
    """The ids of the terms in a prompt, in its order, each once.

    Where several begin at one place it is the longest. Capitals and apostrophes do not count: a "Bird's-eye
    view" is found.
    """
    pattern, ids = _pattern()
    plain = prompt.lower().replace("'", "").replace("’", "")
    return list(dict.fromkeys(ids[found] for found in pattern.findall(plain)))
