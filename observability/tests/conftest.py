"""What the dashboard and the rules ask for, read from their files."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1]
METRIC = re.compile(r"\bedgecore_[a-z_0-9]+|\bup\b(?=[{ ])")


@dataclass(frozen=True)
class Query:
    """One PromQL expression, and where it stands."""

    where: str
    expression: str
    is_alert: bool = False

    @property
    def metrics(self) -> set[str]:
        return set(METRIC.findall(self.expression))


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "grafana" / "edgecore.json").read_text())["panels"]
    return found


def rules() -> list[Query]:
    groups = yaml.safe_load((FOLDER / "prometheus" / "rules.yaml").read_text())["groups"]
    return [
        Query(rule.get("alert") or rule["record"], rule["expr"], "alert" in rule)
        for group in groups
        for rule in group["rules"]
    ]


def panel_queries(window: str) -> list[Query]:
    """Every panel's queries, with `window` in the place of Grafana's variable."""
    return [
        Query(panel["title"], target["expr"].replace("$__rate_interval", window))
        for panel in panels()
        for target in panel["targets"]
    ]


@dataclass(frozen=True)
class Observability:
    """The functions above, for tests: pytest imports test files apart from one another."""

    folder: Path
    panels: list[dict[str, Any]]
    rules: list[Query]

    def panel_queries(self, window: str) -> list[Query]:
        return panel_queries(window)


@pytest.fixture(scope="session")
def observability() -> Observability:
    return Observability(FOLDER, panels(), rules())


@pytest.fixture(scope="session")
def binary() -> Any:
    """The path of `prometheus` or `promtool`."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            missing = f"{name} is not installed: on Debian it is in the package prometheus"
            # CI installs it, so there its absence is a fault.
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        return path

    return find
