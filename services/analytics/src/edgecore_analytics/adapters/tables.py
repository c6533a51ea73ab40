"""Analytics' tables: facts by their natural keys, and beside each job the figures that follow from its facts."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    func,
    text,
)

from edgecore_contracts.states import JobState
from edgecore_runtime.database import metadata
from edgecore_runtime.migrations import folder
from edgecore_runtime.outbox import inbox_table
from edgecore_runtime.schema import Schema

SCHEMA = "analytics"
tables = metadata(SCHEMA)

OPEN = "state NOT IN ({})".format(", ".join(f"'{state}'" for state in JobState if state.terminal))


def _job_id() -> Column[str]:
    return Column("job_id", String(40), ForeignKey(f"{SCHEMA}.jobs.id", ondelete="CASCADE"), primary_key=True)


jobs = Table(
    "jobs",
    tables,
    Column("id", String(40), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("model", String(80), nullable=False),
    # Unknown until the command that accepted it has come; only then it counts.
    Column("accepted_at", DateTime(timezone=True)),
    Column("asked_seconds", Float, nullable=False),
    Column("made_seconds", Float),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    # From here on what follows from the facts, so that a question reads one row a job.
    Column("attempts", Integer, nullable=False),
    Column("fallback", Boolean, nullable=False),
    Column("video_seconds", Float, nullable=False),
    Column("compute_seconds", Float, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("latency_seconds", Float),
    Index("ix_jobs_accepted_at", "accepted_at"),
    Index("ix_jobs_user_id_accepted_at", "user_id", "accepted_at"),
    Index("ix_jobs_open", "state", postgresql_where=text(OPEN)),
    Index("ix_jobs_age", func.coalesce(text("accepted_at"), text("seen_at"))),
)

attempts = Table(
    "attempts",
    tables,
    _job_id(),
    Column("attempt", Integer, primary_key=True),
    Column("backend", String(80), nullable=False),
    Column("outcome", String(16)),
    Column("reason", String(32)),
    Column("seconds", Float, nullable=False),
)

costs = Table(
    "costs",
    tables,
    _job_id(),
    Column("attempt", Integer, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("micros", BigInteger, nullable=False),
    Column("quantity", Float, nullable=False),
    Column("price_id", String(80), nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
)

pools = Table(
    "pools",
    tables,
    Column("pool", String(80), primary_key=True),
    Column("backend", String(80), nullable=False),
    Column("queued", Integer, nullable=False),
    Column("queued_seconds", Float, nullable=False),
    Column("running", Integer, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
)

nodes = Table(
    "nodes",
    tables,
    Column("node_id", String(120), primary_key=True),
    Column("pool", String(80), nullable=False),
    Column("state", String(16), nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
)

inbox = inbox_table(tables)

schema = Schema(tables, None, folder(__file__))
