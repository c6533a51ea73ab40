"""The Grafana dashboard as code: eight panels that answer whether the house works, for whom, and at what price.

`python observability/dashboard.py` writes grafana/edgecore.json; `--check` fails when the file is not what this
program makes. The builders are Grafana's own (grafana-foundation-sdk), generated from its schema.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphDrawStyle, LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, GridPos

FILE = Path(__file__).parent / "grafana" / "edgecore.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH, HEIGHT, COLUMNS = 12, 8, 2
WINDOW = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """One panel: `queries` are (PromQL, legend), `unit` is Grafana's name of it."""

    title: str
    question: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    stacked: bool = False


def _percentile(quantile: float, histogram: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate({histogram}_bucket{WINDOW})))"


LATENCY = "edgecore_analytics_job_latency_seconds"
HTTP_SECONDS = "edgecore_http_request_seconds"

# Gauges are the same in every replica of analytics, so `max`; counters are a process's own, so `sum`.
PANELS = (
    Panel(
        "Jobs that are not over",
        "Where are the jobs that were accepted?",
        "short",
        (("max by (state) (edgecore_analytics_jobs_open)", "{{state}}"),),
        stacked=True,
    ),
    Panel(
        "Jobs that ended, a minute",
        "How do jobs end, and how many needed a second backend?",
        "short",
        (
            (f"sum by (state) (rate(edgecore_analytics_jobs_finished_total{WINDOW})) * 60", "{{state}}"),
            (f"sum(rate(edgecore_analytics_fallbacks_total{WINDOW})) * 60", "fallbacks"),
        ),
    ),
    Panel(
        "From acceptance to delivery",
        "How long does a customer wait?",
        "s",
        tuple((_percentile(number / 100, LATENCY), f"p{number}") for number in (50, 95, 99)),
    ),
    Panel(
        "Attempts, a minute",
        "What do nodes and providers do with what they are given?",
        "short",
        (
            (
                f"sum by (backend, outcome, reason) (rate(edgecore_analytics_attempts_total{WINDOW})) * 60",
                "{{backend}} {{outcome}} {{reason}}",
            ),
        ),
        stacked=True,
    ),
    Panel(
        "Cost, an hour",
        "What is being spent?",
        "currencyUSD",
        ((f"sum by (kind) (rate(edgecore_analytics_cost_micros_total{WINDOW})) * 3600 / 1e6", "{{kind}}"),),
        stacked=True,
    ),
    Panel(
        "Pools",
        "Is there room for what waits?",
        "short",
        (
            ("max by (pool) (edgecore_analytics_pool_queued_jobs)", "{{pool}} waiting"),
            ("max by (pool) (edgecore_analytics_pool_running_jobs)", "{{pool}} running"),
            ("max by (pool) (edgecore_analytics_pool_capacity_jobs)", "{{pool}} capacity"),
            ('max by (pool, state) (edgecore_analytics_nodes{state!="GONE"})', "{{pool}} nodes {{state}}"),
        ),
    ),
    Panel(
        "HTTP API, requests a second",
        "What do callers get, and how soon? The last line is seconds.",
        "short",
        (
            (f"sum by (status) (rate(edgecore_http_requests_total{WINDOW}))", "{{status}}"),
            (_percentile(0.99, HTTP_SECONDS), "p99 seconds"),
        ),
    ),
    Panel(
        "Event log",
        "Does every service keep up, and is anything parked?",
        "short",
        (
            ("sum by (group) (edgecore_consumer_lag)", "{{group}} behind"),
            ("max by (service) (edgecore_outbox_unsent)", "{{service}} unsent"),
            (f"sum by (group) (rate(edgecore_events_dead_total{WINDOW})) * 60", "{{group}} parked a minute"),
        ),
    ),
)


def _panel(number: int, panel: Panel) -> timeseries.Panel:
    row, column = divmod(number, COLUMNS)
    stacking = common.StackingConfig().mode(StackingMode.NORMAL if panel.stacked else StackingMode.NONE)
    legend = (
        common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    ).show_legend(True)
    built = (
        timeseries.Panel()
        .id(number + 1)
        .title(panel.title)
        .description(panel.question)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .draw_style(GraphDrawStyle.LINE)
        .fill_opacity(30 if panel.stacked else 0)
        .stacking(stacking)
        .legend(legend)
        .grid_pos(GridPos(h=HEIGHT, w=WIDTH, x=column * WIDTH, y=row * HEIGHT))
    )
    for place, (expression, name) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(name).ref_id(chr(ord("A") + place))
        built = built.with_target(query)
    return built


def build() -> str:
    """The dashboard as JSON text."""
    made = (
        dashboard.Dashboard("EDGECORE")
        .uid("edgecore")
        .tags(["edgecore"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for number, panel in enumerate(PANELS):
        made = made.with_panel(_panel(number, panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write Grafana's dashboard.")
    parser.add_argument("--check", action="store_true", help="only compare")
    if not parser.parse_args().check:
        FILE.write_text(build())
    elif FILE.read_text() != build():
        sys.exit(f"{FILE} is not what dashboard.py makes: run it without --check")


if __name__ == "__main__":
    main()
