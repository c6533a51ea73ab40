"""The scheduler's tables."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from edgecore_runtime.database import metadata
from edgecore_runtime.migrations import folder
from edgecore_runtime.outbox import inbox_table, outbox_table
from edgecore_runtime.schema import Schema

SCHEMA = "scheduler"
tables = metadata(SCHEMA)


def _time(name: str, *, default_now: bool = False) -> Column[object]:
    now = func.clock_timestamp() if default_now else None
    return Column(name, DateTime(timezone=True), nullable=not default_now, server_default=now)


jobs = Table(
    "jobs",
    tables,
    Column("id", String(40), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("model", String(80), nullable=False),
    Column("backend", String(80), nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("node_id", String(120), nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("trace_context", JSONB, nullable=False),
    Column("position", BigInteger, Identity(), nullable=False),
    # What the owner lets us spend: amounts in micros of USD.
    Column("reservation", String(16), nullable=False, server_default="SECURED"),
    Column("fallback", Boolean, nullable=False, server_default=text("false")),
    Column("quotes", JSONB, nullable=False, server_default="{}"),
    Column("max_cost", BigInteger),
    # Waits for its reservation, so that no node may take it.
    Column("held", Boolean, nullable=False, server_default=text("false")),
    # The one node that may know what became of an order at a provider; empty: any node.
    Column("bound", String(120), nullable=False, server_default=""),
    Column("backend_failures", JSONB, nullable=False, server_default="{}"),
    # The last code by backend, of the attempt to come, and how many decisions there are in all.
    Column("looks", JSONB, nullable=False, server_default="{}"),
    Column("decided", Integer, nullable=False, server_default="0"),
    _time("not_before", default_now=True),
    _time("waiting_since", default_now=True),
    _time("created_at", default_now=True),
    Index("ix_jobs_queue", "position", postgresql_where=text("state = 'QUEUED'")),
    Index("ix_jobs_step", "backend", "position", postgresql_where=text("state = 'QUEUED' AND NOT held")),
    Index("ix_jobs_fallback", "position", postgresql_where=text("state = 'QUEUED' AND fallback")),
    Index("ix_jobs_unsecured", "user_id", "position", postgresql_where=text("reservation = 'PENDING'")),
)

transitions = Table(
    "transitions",
    tables,
    Column("job_id", String(40), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("source", String(16), nullable=False),
    Column("target", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("node_id", String(120), nullable=False),
    _time("occurred_at", default_now=True),
)

decisions = Table(
    "decisions",
    tables,
    Column("job_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("backend", String(80), nullable=False),
    Column("node_id", String(120), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("code", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    _time("decided_at", default_now=True),
)

# What cost decided on jobs whose own command has not come yet.
early_reservations = Table(
    "early_reservations",
    tables,
    Column("job_id", String(40), primary_key=True),
    Column("reservation", String(16), nullable=False),
    Column("quotes", JSONB, nullable=False),
    _time("decided_at", default_now=True),
)

leases = Table(
    "leases",
    tables,
    Column("id", String(40), primary_key=True),
    # The one valid lease of a job. Its fencing token is the attempt's number, which grows with every lease.
    Column("job_id", String(40), nullable=False, unique=True),
    Column("token", BigInteger, nullable=False),
    Column("node_id", String(120), nullable=False, index=True),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    Column("ends_at", DateTime(timezone=True), nullable=False),
)

attempts = Table(
    "attempts",
    tables,
    Column("job_id", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("lease_id", String(40), nullable=False, unique=True),
    Column("node_id", String(120), nullable=False),
    Column("model", String(80), nullable=False),
    Column("backend", String(80), nullable=False, server_default=""),
    Column("outcome", String(16)),
    Column("reason", String(32)),
    Column("detail", Text),
    Column("measurements", LargeBinary),
    Column("seconds", Float),
    _time("started_at", default_now=True),
    _time("finished_at"),
    Index("ix_attempts_recent", "backend", "model", "finished_at", postgresql_where=text("outcome = 'SUCCEEDED'")),
)

nodes = Table(
    "nodes",
    tables,
    Column("id", String(120), primary_key=True),
    Column("pool", String(80), nullable=False),
    Column("device", String(120), nullable=False),
    Column("backend", String(80), nullable=False),
    Column("models", JSONB, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("draining", Boolean, nullable=False, server_default=text("false")),
    # As last told on pool-events; empty: never.
    Column("told", String(16), nullable=False, server_default=""),
    _time("seen_at", default_now=True),
)

outbox = outbox_table(tables)
inbox = inbox_table(tables)

schema = Schema(tables, outbox, folder(__file__))
