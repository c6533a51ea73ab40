"""A bad setting ends the process at start with a line that names it."""

import pytest

from edgecore_runtime import settings
from edgecore_runtime.settings import DatabaseSettings, ServiceSettings, setting


class Example(ServiceSettings, DatabaseSettings):
    steps: int = setting(20, unit="steps", reason="how many", ge=1, le=50)


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECORE_DATABASE_URL", "postgresql+asyncpg://nowhere/x")


def test_defaults_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECORE_HTTP_PORT", "9000")
    loaded = settings.load(Example)
    assert (loaded.http_port, loaded.steps) == (9000, 20)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("EDGECORE_HTTP_PORT", "ninety", ["EDGECORE_HTTP_PORT", "port", "ninety"]),
        ("EDGECORE_STEPS", "51", ["EDGECORE_STEPS", "steps", "less than or equal to 50"]),
        ("EDGECORE_DATABASE_URL", "mysql://x", ["EDGECORE_DATABASE_URL", "PostgreSQL"]),
        ("EDGECORE_LOG_LEVEL", "LOUD", ["EDGECORE_LOG_LEVEL", "LOUD"]),
    ],
)
def test_a_bad_value_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    words: list[str],
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        settings.load(Example)
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert all(word in line for word in words), line


def test_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("EDGECORE_DATABASE_URL")
    with pytest.raises(SystemExit):
        settings.load(Example)
    assert "EDGECORE_DATABASE_URL" in capsys.readouterr().err


def test_every_setting_of_the_groups_has_a_unit_and_a_reason() -> None:
    groups = [ServiceSettings, DatabaseSettings, settings.KafkaSettings, settings.ObjectStoreSettings]
    for group in groups:
        for name, field in group.model_fields.items():
            assert field.description, name
            assert isinstance(field.json_schema_extra, dict), name
            assert field.json_schema_extra["unit"], name
    assert "| `EDGECORE_STEPS` | `20` | steps | how many |" in settings.table(Example)
