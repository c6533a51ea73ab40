"""What can be said of the files without running anything but promtool."""

import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).parents[2]
SUFFIXES = ("_bucket", "_sum", "_count", "_total")
KINDS = {"Counter", "Gauge", "Histogram", "Summary"}


def stem(metric: str) -> str:
    """The name as the code has it; prometheus-client adds the suffixes."""
    for suffix in SUFFIXES:
        metric = metric.removesuffix(suffix)
    return metric


def defined() -> dict[str, set[str]]:
    """Every metric that the services and libs define, with its labels."""
    found: dict[str, set[str]] = {}
    for path in [*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py")]:
        text = path.read_text()
        if "prometheus_client" not in text:
            continue
        tree = ast.parse(text)
        lists = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in KINDS and node.args:
                name = node.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    labels: Any = node.args[2] if len(node.args) > 2 else ast.List([])
                    labels = lists[labels.id] if isinstance(labels, ast.Name) else labels
                    found[stem(name.value)] = {one.value for one in labels.elts}
    return found


def test_the_dashboard_is_what_the_program_makes() -> None:
    subprocess.run([sys.executable, ROOT / "observability" / "dashboard.py", "--check"], check=True)


def test_the_dashboard_has_eight_panels_that_grafanas_schema_knows(observability: Any) -> None:
    document = json.loads((observability.folder / "grafana" / "edgecore.json").read_text())
    read = Dashboard.from_json(document)
    assert read.uid == "edgecore"
    assert document["schemaVersion"] >= 36
    assert len(observability.panels) == 8
    assert len({panel["id"] for panel in observability.panels}) == 8
    places = set()
    for panel in observability.panels:
        assert panel["type"] == "timeseries"
        assert panel["title"]
        assert panel["description"].rstrip().endswith((".", "?"))
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [target["refId"] for target in panel["targets"]] == list("ABCD")[: len(panel["targets"])]
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= 24
        places.add((position["x"], position["y"]))
    assert len(places) == 8
    (variable,) = document["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")


def test_every_metric_that_is_asked_for_exists(observability: Any) -> None:
    known = set(defined()) | {"up"}
    for query in [*observability.panel_queries("5m"), *observability.rules]:
        for metric in query.metrics:
            assert stem(metric) in known, f"{query.where} asks for {metric}, which nothing exports"


def test_no_metric_of_analytics_is_labelled_by_what_has_no_bound() -> None:
    labels = {name: found for name, found in defined().items() if name.startswith("edgecore_analytics_")}
    assert len(labels) > 5
    for name, found in labels.items():
        assert not found & {"user", "user_id", "customer", "job", "job_id", "node", "node_id"}, name


def test_every_rule_has_a_unit_test(observability: Any) -> None:
    tests = yaml.safe_load((observability.folder / "prometheus" / "rules_test.yaml").read_text())["tests"]
    firing = {one["alertname"] for test in tests for one in test.get("alert_rule_test", ()) if one["exp_alerts"]}
    asked = " ".join(one["expr"] for test in tests for one in test.get("promql_expr_test", ()))
    for rule in observability.rules:
        assert rule.where in firing if rule.is_alert else rule.where in asked, rule.where


def test_the_collectors_pipelines_are_made_of_declared_parts(observability: Any) -> None:
    document = yaml.safe_load((observability.folder / "otel" / "collector.yaml").read_text())
    for pipeline in document["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(document[kind])
            assert pipeline[kind]
    assert pipeline["processors"][0] == "memory_limiter"
    assert set(document["service"]["extensions"]) <= set(document["extensions"])


def test_the_local_stacks_services_become_targets(observability: Any) -> None:
    program = runpy.run_path(str(observability.folder / "targets.py"))
    settings = {"EDGECORE_HTTP_HOST": "127.0.0.1", "EDGECORE_HTTP_PORT": "8081"}
    assert program["targets"]({"environment": {"cost": settings}}) == [
        {"targets": ["127.0.0.1:8081"], "labels": {"service": "cost"}}
    ]


@pytest.mark.local
@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "--lint-fatal", "prometheus/rules.yaml"),
        ("test", "rules", "prometheus/rules_test.yaml"),
        ("check", "config", "--syntax-only", "prometheus/prometheus.yaml"),
    ],
)
def test_promtool(observability: Any, binary: Any, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [binary("promtool"), *command], cwd=observability.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
