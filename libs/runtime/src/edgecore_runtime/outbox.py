"""Transactional outbox and inbox.

Outbox: an event is a row, written in the transaction that changes the state, so neither can happen alone. Rows
are marked sent when the broker acknowledged them; `id > last` would lose rows, as ids are taken before commit.
Inbox: a consumer records the event's id in the transaction of its effect, so a repeated event does nothing.
"""

from datetime import datetime, timedelta

from google.protobuf.message import Message
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_contracts.cloudevents import Event
from edgecore_contracts.topics import topic_of
from edgecore_runtime import telemetry
from edgecore_runtime.clock import Clock
from edgecore_runtime.ids import new_id


def outbox_table(metadata: MetaData) -> Table:
    """The service's outbox; its columns are the same in every migration history."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("event_id", String(40), nullable=False, unique=True),
        Column("topic", String(120), nullable=False),
        Column("key", String(120), nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
        Column("sent_at", DateTime(timezone=True)),
        Column("sent_partition", Integer),
        Column("sent_offset", BigInteger),
        Index("ix_outbox_unsent", "id", postgresql_where=text("sent_at IS NULL")),
    )


def inbox_table(metadata: MetaData) -> Table:
    """The ids of events whose effects are committed."""
    return Table(
        "inbox",
        metadata,
        Column("event_id", String(120), primary_key=True),
        Column("handled_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
        Index("ix_inbox_handled_at", "handled_at"),
    )


class Outbox:
    """Where a unit of work puts the events it decided on."""

    def __init__(self, table: Table, source: str, clock: Clock) -> None:
        self.table = table
        self._insert = insert(table)  # once: building a statement costs more than running it
        self._source = f"edgecore/{source}"
        self._clock = clock

    async def add(self, session: AsyncSession, message: Message, key: str) -> Event:
        """Queue `message` in the session's transaction, with the current trace context."""
        event = Event(new_id("evt"), self._source, self._clock.now(), key, message, telemetry.current())
        row = {
            "event_id": event.id,
            "topic": topic_of(message).name,
            "key": key,
            "headers": event.headers(),
            "body": event.body(),
        }
        await session.execute(self._insert, row)
        return event

    async def replay(self, session: AsyncSession, since: datetime | None = None, most: int | None = None) -> int:
        """Mark sent rows as unsent, so that the relay sends them again; returns how many.

        Consumers absorb what they had already seen. `since` bounds how far back (by the row's creation),
        `most` how many rows.
        """
        sent = select(self.table.c.id).where(self.table.c.sent_at.is_not(None)).limit(most)
        if since is not None:
            sent = sent.where(self.table.c.created_at >= since)
        statement = update(self.table).where(self.table.c.id.in_(sent))
        result = await session.execute(statement.values(sent_at=None, sent_partition=None, sent_offset=None))
        return int(result.rowcount)  # type: ignore[attr-defined]

    async def prune(self, session: AsyncSession, retention: timedelta) -> None:
        """Forget sent rows older than the retention."""
        old = self.table.c.created_at < func.clock_timestamp() - retention
        await session.execute(delete(self.table).where(self.table.c.sent_at.is_not(None), old))


class Inbox:
    """Remembers which events had their effect."""

    def __init__(self, table: Table) -> None:
        self.table = table

    async def first_time(self, session: AsyncSession, event: Event) -> bool:
        """Record the event; False when it was recorded before, and so must have no further effect."""
        result = await session.execute(
            upsert(self.table).values(event_id=event.id).on_conflict_do_nothing().returning(self.table.c.event_id)
        )
        return result.scalar_one_or_none() is not None

    async def prune(self, session: AsyncSession, retention: timedelta) -> None:
        """Forget ids older than the retention, which must be longer than any outbox's."""
        await session.execute(
            delete(self.table).where(self.table.c.handled_at < func.clock_timestamp() - retention)
        )
