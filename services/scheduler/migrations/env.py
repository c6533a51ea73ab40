"""Alembic's entry: the runtime knows how, the service knows which tables."""

from edgecore_runtime.migrations import run_environment
from edgecore_scheduler.adapters.tables import tables

run_environment(tables)
