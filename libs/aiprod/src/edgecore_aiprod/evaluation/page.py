"""report.html: one file, pictures inside, no script; every text in it is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from edgecore_aiprod.captions import named_caption
from edgecore_aiprod.evaluation.pictures import Picture


def render_page(report: Mapping[str, Any], pictures: Mapping[str, Sequence[Picture]]) -> str:
    """The whole page. `report` is what report.json holds."""
    source = resources.files("edgecore_aiprod").joinpath("data/report.html.jinja").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": _percent, "span": _span, "megabytes": _megabytes}
    environment.globals["red_circle"] = lambda locale: named_caption(locale, "red", "circle", "right").text
    return environment.from_string(source).render(report=report, pictures=pictures)


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
