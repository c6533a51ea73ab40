"""Reading pools: defaults, durations, and refusals that name the field."""

from pathlib import Path

import pytest

from edgecore_autoscaler.adapters.pool_specs import read_file, read_spec, seconds
from edgecore_autoscaler.domain.pool import ForecastMode
from edgecore_contracts.errors import InvalidInput


def test_defaults() -> None:
    spec = read_spec("local", {"model": "aiprod-nano", "maxReplicas": 4})
    assert (spec.min_replicas, spec.max_replicas) == (1, 4)
    assert (spec.scale_in_window, spec.horizon, spec.cold_start) == (300.0, 300.0, 60.0)
    assert spec.forecast_mode is ForecastMode.OBSERVE


@pytest.mark.parametrize(("text", "value"), [("90s", 90.0), ("5m", 300.0), ("1h30m", 5400.0), ("250ms", 0.25)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"minReplicas": 5}, "minReplicas must not be above maxReplicas"),
        ({"targetUtilisation": 0}, "targetUtilisation"),
        ({"targetUtilisation": 1.2}, "targetUtilisation"),
        ({"scaleInStabilization": "soon"}, "scaleInStabilization"),
        ({"scaleInStabilization": "-5m"}, "scaleInStabilization"),
        ({"forecast": {"quantile": 0.5}}, "forecast.quantile"),
        ({"forecast": {"quantile": 1.0}}, "forecast.quantile"),
        ({"forecast": {"horizon": "30s"}}, "coldStartSeconds"),
        ({"forecast": {"mode": "Maybe"}}, "forecast.mode"),
        ({"pricePerHour": "cheap"}, "pricePerHour"),
        ({"replicas": 3}, "replicas"),
        ({"model": ""}, "model"),
    ],
)
def test_refusals_name_the_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_spec("local", {"model": "aiprod-nano", "maxReplicas": 4} | change)
    assert field in error.value.detail


def test_a_file_of_pools(tmp_path: Path) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text("- name: local\n  model: aiprod-nano\n  maxReplicas: 3\n  forecast: {mode: Off}\n")
    (spec,) = read_file(str(file))
    assert (spec.name, spec.max_replicas, spec.forecast_mode) == ("local", 3, ForecastMode.OFF)


@pytest.mark.parametrize("text", ["", "pools: []", "- model: x", "- {name: a, model: x}\n- {name: a, model: x}"])
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=r"pools\.yaml"):
        read_file(str(file))
