"""The autoscaler's tables."""

from sqlalchemy import Column, DateTime, Float, Integer, String, Table

from edgecore_runtime.database import metadata
from edgecore_runtime.migrations import folder
from edgecore_runtime.outbox import inbox_table
from edgecore_runtime.schema import Schema

SCHEMA = "autoscaler"
tables = metadata(SCHEMA)

demand = Table(
    "demand",
    tables,
    Column("model", String(80), primary_key=True),
    Column("minute", DateTime(timezone=True), primary_key=True, index=True),
    Column("jobs", Integer, nullable=False),
    # What those jobs were predicted to take when they arrived.
    Column("gpu_seconds", Float, nullable=False),
)

snapshots = Table(
    "snapshots",
    tables,
    Column("pool", String(120), primary_key=True),
    Column("backend", String(80), nullable=False, index=True),
    Column("queued", Integer, nullable=False),
    Column("queued_seconds", Float, nullable=False),
    Column("running", Integer, nullable=False),
    Column("nodes_ready", Integer, nullable=False),
    Column("nodes_draining", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    # Null until a queue has told it.
    Column("seconds_per_job", Float),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
)

inbox = inbox_table(tables)

schema = Schema(tables, None, folder(__file__))
