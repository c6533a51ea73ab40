"""What a service keeps in PostgreSQL, and the two commands that concern it alone."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import MetaData, Table

from edgecore_runtime import migrations
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.database import Database
from edgecore_runtime.outbox import Outbox
from edgecore_runtime.settings import DatabaseSettings


@dataclass(frozen=True)
class Schema:
    """One service's tables, its outbox among them if it emits events, and the folder of its migrations."""

    tables: MetaData
    outbox: Table | None
    migrations: Path

    @property
    def name(self) -> str:
        assert self.tables.schema is not None
        return self.tables.schema

    def database(self, settings: DatabaseSettings) -> Database:
        return Database(settings.database_url, self.name, settings.database_pool)

    async def migrate(self, settings: DatabaseSettings) -> None:
        """Bring the schema to the newest revision."""
        database = self.database(settings)
        try:
            await migrations.upgrade(database, self.migrations)
        finally:
            await database.stop()

    async def replay(self, settings: DatabaseSettings, since: datetime | None) -> int:
        """Have sent events published again; returns how many. Only for a service that has an outbox."""
        assert self.outbox is not None
        database = self.database(settings)
        try:
            async with database.transaction() as session:
                return await Outbox(self.outbox, self.name, SystemClock()).replay(session, since=since)
        finally:
            await database.stop()
