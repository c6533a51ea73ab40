"""The migrations make the tables that the code names, and the README shows the settings."""

from pathlib import Path

from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.settings import table
from edgecore_runtime.testing import schema_drift
from edgecore_scheduler.adapters.tables import SCHEMA, schema, tables
from edgecore_scheduler.settings import Settings


async def test_the_migrations_make_the_tables_that_the_code_names(
    database_url: str, embedded: EmbeddedParts
) -> None:
    settings = Settings(database_url=database_url, kafka_bootstrap=embedded.kafka_bootstrap)
    await schema.migrate(settings)
    await schema.migrate(settings)
    database = Database(database_url, SCHEMA, 3)

    try:
        assert await schema_drift(database, tables) == []
    finally:
        await database.stop()


def test_the_readme_shows_the_settings() -> None:
    readme = Path(__file__).parents[1] / "README.md"
    assert table(Settings) in readme.read_text()
