"""Alembic's entry: the runtime knows how, the service knows which tables."""

from edgecore_autoscaler.adapters.tables import tables
from edgecore_runtime.migrations import run_environment

run_environment(tables)
