"""The gateway's schema. Identifiers sort by creation time, so they are compared byte by byte."""

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from edgecore_runtime.database import metadata
from edgecore_runtime.migrations import folder
from edgecore_runtime.outbox import inbox_table, outbox_table
from edgecore_runtime.schema import Schema

SCHEMA = "gateway"
METADATA = metadata(SCHEMA)


def _id() -> String:
    return String(40, collation="C")


def _time(name: str, *, required: bool = False, now: bool = False) -> "Column[object]":
    default = func.clock_timestamp() if now else None
    return Column(name, DateTime(timezone=True), nullable=not (required or now), server_default=default)


users = Table(
    "users", METADATA, Column("id", _id(), primary_key=True), Column("name", String(200), nullable=False)
)

api_keys = Table(
    "api_keys",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("user_id", _id(), ForeignKey("gateway.users.id"), nullable=False),
    Column("shown", String(20), nullable=False),
    _time("created_at", now=True),
    _time("revoked_at"),
    Index("ix_api_keys_user_id", "user_id"),
)

# user_id has no foreign key: every insert would lock the user's row, and many at once make multixacts of it.
jobs = Table(
    "jobs",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("user_id", _id(), nullable=False),
    Column("state", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("spec", JSONB, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", String(40)),
    Column("detail", Text),
    Column("artifact", JSONB(none_as_null=True)),
    _time("created_at", required=True),
    _time("updated_at", required=True),
    _time("finished_at"),
    _time("cancel_requested_at"),
)
Index("ix_jobs_user_id_id", jobs.c.user_id, jobs.c.id.desc())

job_transitions = Table(
    "job_transitions",
    METADATA,
    Column("job_id", _id(), ForeignKey("gateway.jobs.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("from_state", String(20), nullable=False),
    Column("to_state", String(20), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("detail", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("node", Text, nullable=False),
    _time("occurred_at", required=True),
)

# The assignment writes node and started_at, the end writes the rest; neither touches the other's columns, so
# the order in which the two events arrive does not matter.
attempts = Table(
    "attempts",
    METADATA,
    Column("job_id", _id(), ForeignKey("gateway.jobs.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("node", Text, nullable=False),
    Column("outcome", String(20)),
    Column("reason", String(40)),
    _time("started_at"),
    _time("finished_at"),
    Column("measurements", JSONB(none_as_null=True)),
)

# job_id has no foreign key: this row is written first, so that a concurrent repetition waits here.
idempotency = Table(
    "idempotency",
    METADATA,
    Column("user_id", _id(), primary_key=True),
    Column("key", String(255, collation="C"), primary_key=True),
    Column("job_id", _id(), nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    _time("created_at", now=True),
    Index("ix_idempotency_created_at", "created_at"),
)

outbox = outbox_table(METADATA)
inbox = inbox_table(METADATA)

schema = Schema(METADATA, outbox, folder(__file__))
