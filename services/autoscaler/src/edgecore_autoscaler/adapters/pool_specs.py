"""Reading pools: a GPUPool's spec, or a file of them. The rules are the CRD's, where no API server checks them."""

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from edgecore_autoscaler.domain.pool import ForecastMode, PoolSpec
from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_contracts.money import MICROS

_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(text: Any) -> Any:
    """Seconds from a duration as Kubernetes writes it: `90s`, `5m`, `1h30m`. Raises ValueError."""
    if not isinstance(text, str):
        return text
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError("must be a duration such as 90s, 5m or 1h30m")
    return sum(float(part["number"]) * _UNITS[part["unit"]] for part in parts)


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=timedelta(days=7).total_seconds())]


class _Fields(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


def _mode(value: Any) -> Any:
    """YAML reads an unquoted Off as false."""
    return "Off" if value is False else value


class _Forecast(_Fields):
    mode: Annotated[Literal["Off", "Observe", "Act"], BeforeValidator(_mode)] = "Observe"
    horizon: Seconds = 300.0
    quantile: float = Field(default=0.9, gt=0.5, lt=1)


class _Spec(_Fields):
    model: str = Field(min_length=1, max_length=80)
    backend: str = Field("aiprod", min_length=1, max_length=80)
    device: str = Field("cpu", min_length=1, max_length=120)
    min_replicas: int = Field(1, ge=0, le=1000)
    max_replicas: int = Field(1, ge=1, le=1000)
    target_utilisation: float = Field(0.8, gt=0, le=1)
    cold_start_seconds: int = Field(60, ge=0, le=3600)
    price_per_hour: str = Field("0", pattern=r"^\d{1,6}(\.\d{1,6})?$")
    scale_in_stabilization: Seconds = 300.0
    forecast: _Forecast = _Forecast()

    @model_validator(mode="after")
    def _consistent(self) -> "_Spec":
        if self.min_replicas > self.max_replicas:
            raise ValueError("minReplicas must not be above maxReplicas")
        if self.forecast.horizon < self.cold_start_seconds:
            raise ValueError("forecast.horizon must not be shorter than coldStartSeconds")
        return self


def read_spec(name: str, fields: dict[str, Any]) -> PoolSpec:
    """A pool from its spec as YAML or JSON has it. Raises InvalidInput naming each bad field."""
    try:
        spec = _Spec.model_validate(fields)
    except ValidationError as error:
        raise InvalidInput(
            [FieldProblem(".".join(map(str, one["loc"])) or "spec", one["msg"]) for one in error.errors()]
        ) from error
    return PoolSpec(
        name=name,
        model=spec.model,
        backend=spec.backend,
        device=spec.device,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        target_utilisation=spec.target_utilisation,
        cold_start=float(spec.cold_start_seconds),
        price_per_hour=int(Decimal(spec.price_per_hour) * MICROS),
        scale_in_window=spec.scale_in_stabilization,
        forecast_mode=ForecastMode(spec.forecast.mode),
        horizon=spec.forecast.horizon,
        quantile=spec.forecast.quantile,
    )


def read_file(path: str) -> list[PoolSpec]:
    """The pools of a YAML list of `{name, …spec}`; raises InvalidInput, or OSError for a missing file."""
    entries = yaml.safe_load(Path(path).read_text())
    if not isinstance(entries, list) or not all(isinstance(one, dict) and one.get("name") for one in entries):
        raise InvalidInput([FieldProblem(path, "must be a YAML list of pools, each with a name")])
    specs = [read_spec(str(one["name"]), {k: v for k, v in one.items() if k != "name"}) for one in entries]
    if len({spec.name for spec in specs}) < len(specs):
        raise InvalidInput([FieldProblem(path, "each pool's name must be there once")])
    return specs
