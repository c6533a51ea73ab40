"""Alembic per service: its folder `migrations/` beside `src/`, its own schema, its own history.

Run by `python -m edgecore_<name> migrate`, and on start where the settings say so. An advisory lock makes
several starting replicas take turns.
"""

import zlib
from pathlib import Path
from typing import Any

import stamina
from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, text

from edgecore_runtime import logs
from edgecore_runtime.database import Database, is_transient

WAIT_SECONDS = 60.0
"""How long a starting service waits for its database before it gives up."""

log = logs.get(__name__)


def folder(module_file: str) -> Path:
    """The service's migrations, from any of its modules' __file__ (services/<name>/src/<package>/…)."""
    source = next(parent for parent in Path(module_file).resolve().parents if parent.name == "src")
    return source.parent / "migrations"


async def upgrade(database: Database, scripts: Path) -> None:
    """Bring the schema to the newest revision, waiting for the database up to WAIT_SECONDS."""
    async for attempt in stamina.retry_context(on=is_transient, timeout=WAIT_SECONDS, attempts=None, wait_max=2.0):
        with attempt:
            async with database.engine.begin() as connection:
                lock = zlib.crc32(f"edgecore-migrate-{database.schema}".encode())
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
                await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"'))
                await connection.run_sync(_upgrade, scripts, database.schema)


def _upgrade(connection: Connection, scripts: Path, schema: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes.update(connection=connection, schema=schema)
    command.upgrade(config, "head")


def run_environment(metadata: MetaData) -> None:
    """The body of every service's migrations/env.py."""
    attributes: dict[str, Any] = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        target_metadata=metadata,
        version_table_schema=attributes["schema"],
        include_schemas=True,
        transaction_per_migration=False,
    )
    context.run_migrations()
