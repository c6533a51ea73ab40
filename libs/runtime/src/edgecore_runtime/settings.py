"""Settings from EDGECORE_* environment variables; every one has a unit, a default and a reason.

A service's settings class mixes in the groups it needs. A bad value ends the process at start with a line
that names the variable, the rule and the reason; nothing starts half-configured.
"""

import sys
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "EDGECORE_"


def setting(default: Any, *, unit: str, reason: str, **rules: Any) -> Any:
    """A field with its unit and reason; `...` as default makes it required. Rules are pydantic's (ge, le, …)."""
    return Field(default, description=reason, json_schema_extra={"unit": unit}, **rules)


class Group(BaseSettings):
    """What all groups share: pydantic merges the bases' configurations, and a bare one would undo the prefix."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")


class ServiceSettings(Group):
    """What every service has."""

    http_host: str = setting("127.0.0.1", unit="address", reason="where health, metrics and HTTP are served")
    http_port: int = setting(8080, unit="port", reason="0 picks a free one", ge=0, le=65535)
    log_level: str = setting(
        "INFO", unit="level", reason="least severe line to write", pattern="^(DEBUG|INFO|WARNING|ERROR)$"
    )
    otlp_endpoint: str = setting("", unit="URL", reason="OTLP/HTTP collector; empty sends no traces")
    trace_file: str = setting("", unit="path", reason="spans as JSON lines, for the local stack; empty: none")
    drain_delay: float = setting(
        0.0,
        unit="seconds",
        reason="between 'not ready' and stopping, so that load balancers notice",
        ge=0,
        le=120,
    )


class DatabaseSettings(Group):
    database_url: str = setting(
        ..., unit="URL", reason="PostgreSQL, one schema a service", pattern=r"^postgresql\+asyncpg://"
    )
    database_pool: int = setting(10, unit="connections", reason="bound on concurrent statements", ge=3, le=200)
    migrate_on_start: bool = setting(False, unit="switch", reason="on a laptop; a cluster runs `migrate` first")


class KafkaSettings(Group):
    kafka_bootstrap: str = setting(..., unit="host:port[,…]", reason="the event log", min_length=3)
    kafka_idempotence: bool = setting(
        False, unit="switch", reason="no duplicates from producer retries, where the broker supports it"
    )
    kafka_session_timeout: float = setting(
        10.0, unit="seconds", reason="after which a silent consumer's partitions go to others", ge=1, le=300
    )
    outbox_retention_hours: float = setting(
        24.0, unit="hours", reason="how far back a replay after a broker loss can reach", gt=0, le=720
    )


class ObjectStoreSettings(Group):
    object_store_url: str = setting(
        ..., unit="URL", reason="artifacts: file://, s3://, gs://, az://", min_length=6
    )


SettingsType = TypeVar("SettingsType", bound=BaseSettings)


def load(settings_class: type[SettingsType]) -> SettingsType:
    """Read the settings, or end the process with status 2 and one line for each bad one."""
    try:
        return settings_class()
    except ValidationError as error:
        for problem in error.errors():
            print(_explain(settings_class, problem), file=sys.stderr)  # noqa: T201
        sys.exit(2)


def _explain(settings_class: type[BaseSettings], problem: Any) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    field = settings_class.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    unit = extra.get("unit") if isinstance(extra, dict) else None
    about = f" ({unit}: {field.description})" if field else ""
    wrong = "is required" if problem["type"] == "missing" else f"{problem['msg']}, got {problem['input']!r}"
    return f"setting {PREFIX}{name.upper()}{about}: {wrong}"


def table(settings_class: type[BaseSettings]) -> str:
    """The settings as a Markdown table, for a service's README."""
    rows = ["| variable | default | unit | reason |", "|---|---|---|---|"]
    for name, field in settings_class.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        default = "required" if field.is_required() else f"`{field.default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {extra.get('unit', '')} | {field.description} |")
    return "\n".join(rows) + "\n"
