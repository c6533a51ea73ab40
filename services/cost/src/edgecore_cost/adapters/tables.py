"""The cost service's tables."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
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

SCHEMA = "cost"
tables = metadata(SCHEMA)


def _time(name: str, *, required: bool = True, now: bool = False) -> Column[object]:
    default = func.clock_timestamp() if now else None
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=default)


prices = Table(
    "prices",
    tables,
    Column("id", String(80), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("backend", String(80), nullable=False),
    Column("model", String(160), nullable=False),
    Column("unit", String(24), nullable=False),
    Column("micros", BigInteger, nullable=False),
    _time("valid_from"),
    Column("source", Text, nullable=False),
    _time("created_at", now=True),
)

# Every change of a user's money takes this row's lock first, so that no two see the same rest of a budget.
accounts = Table(
    "accounts",
    tables,
    Column("user_id", String(64), primary_key=True),
    Column("own_limit", Boolean, nullable=False, server_default=text("false")),
    Column("monthly", BigInteger),
)

spending = Table(
    "spending",
    tables,
    Column("user_id", String(64), primary_key=True),
    Column("period", DateTime(timezone=True), primary_key=True),
    Column("spent", BigInteger, nullable=False),
    _time("exhausted_at", required=False),
)

# What is known of a job, from whichever of its events came first.
jobs = Table(
    "jobs",
    tables,
    Column("id", String(40), primary_key=True),
    Column("model", String(80)),
    Column("spec", LargeBinary),
    _time("ended_at", required=False),
    Index("ix_jobs_ended_at", "ended_at"),
)

reservations = Table(
    "reservations",
    tables,
    Column("job_id", String(40), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("estimate", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("quotes", JSONB, nullable=False),
    Column("detail", Text, nullable=False),
    # Holds its amount until the job is over ("settled") or was never seen ("expired").
    Column("closed", String(16)),
    _time("created_at", now=True),
    Index("ix_reservations_open", "user_id", postgresql_where=text("closed IS NULL AND state = 'SECURED'")),
    Index("ix_reservations_age", "created_at", postgresql_where=text("closed IS NULL AND state = 'SECURED'")),
    Index("ix_reservations_over", "created_at", postgresql_where=text("closed IS NOT NULL OR state = 'DECLINED'")),
)

ledger = Table(
    "ledger",
    tables,
    Column("job_id", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("quantity", Float, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("price_id", String(80), nullable=False),
    _time("occurred_at"),
    Index("ix_ledger_user_id_occurred_at", "user_id", "occurred_at"),
)

# Attempts on our own nodes that went well: what the predictor learns from, once the job's spec is known too.
measured = Table(
    "measured",
    tables,
    Column("job_id", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("device", String(160), nullable=False),
    Column("seconds", Float, nullable=False),
    _time("occurred_at"),
    Index("ix_measured_occurred_at", "occurred_at"),
)

pools = Table(
    "pools",
    tables,
    Column("pool", String(120), primary_key=True),
    Column("backend", String(80), nullable=False),
    Column("queued", Integer, nullable=False),
    Column("queued_seconds", Float, nullable=False),
    Column("running", Integer, nullable=False),
    Column("nodes_ready", Integer, nullable=False),
    Column("capacity", Integer, nullable=False),
    _time("occurred_at"),
)

nodes = Table(
    "nodes",
    tables,
    Column("node_id", String(160), primary_key=True),
    Column("backend", String(80), nullable=False),
    Column("device", String(160), nullable=False),
    Column("ready", Boolean, nullable=False),
    _time("occurred_at"),
)

outbox = outbox_table(tables)
inbox = inbox_table(tables)

schema = Schema(tables, outbox, folder(__file__))
