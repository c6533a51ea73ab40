"""`python -m edgecore_scheduler serve|migrate|outbox-replay|settings`."""

from datetime import datetime

from edgecore_runtime import main, migrations
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.database import Database
from edgecore_runtime.outbox import Outbox
from edgecore_scheduler.adapters import tables
from edgecore_scheduler.bootstrap import NAME, build
from edgecore_scheduler.settings import Settings


async def migrate(settings: Settings) -> None:
    """Bring the schema to the newest revision."""
    database = Database(settings.database_url, tables.SCHEMA, settings.database_pool)
    try:
        await migrations.upgrade(database, migrations.folder(__file__))
    finally:
        await database.stop()


async def replay(settings: Settings, since: datetime | None) -> int:
    """Have sent events published again; returns how many."""
    database = Database(settings.database_url, tables.SCHEMA, settings.database_pool)
    try:
        async with database.transaction() as session:
            return await Outbox(tables.outbox, NAME, SystemClock()).replay(session, since=since)
    finally:
        await database.stop()


if __name__ == "__main__":
    main.run(NAME, Settings, build, migrate, replay)
