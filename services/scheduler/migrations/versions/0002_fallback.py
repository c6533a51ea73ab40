"""the fallback chain, decisions, reservations, what was told of nodes"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "scheduler"


def upgrade() -> None:
    empty = sa.text("'{}'")
    for column in (
        sa.Column("reservation", sa.String(16), server_default="SECURED", nullable=False),
        sa.Column("fallback", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("quotes", postgresql.JSONB(), server_default=empty, nullable=False),
        sa.Column("max_cost", sa.BigInteger(), nullable=True),
        sa.Column("held", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("bound", sa.String(120), server_default="", nullable=False),
        sa.Column("backend_failures", postgresql.JSONB(), server_default=empty, nullable=False),
        sa.Column("looks", postgresql.JSONB(), server_default=empty, nullable=False),
        sa.Column("decided", sa.Integer(), server_default="0", nullable=False),
        _now("waiting_since"),
    ):
        op.add_column("jobs", column, schema=SCHEMA)
    _job_index("ix_jobs_step", ["backend", "position"], "state = 'QUEUED' AND NOT held")
    _job_index("ix_jobs_fallback", ["position"], "state = 'QUEUED' AND fallback")
    _job_index("ix_jobs_unsecured", ["user_id", "position"], "reservation = 'PENDING'")

    op.create_table(
        "decisions",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("backend", sa.String(80), nullable=False),
        sa.Column("node_id", sa.String(120), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        _now("decided_at"),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_decisions"),
        schema=SCHEMA,
    )
    op.create_table(
        "early_reservations",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("reservation", sa.String(16), nullable=False),
        sa.Column("quotes", postgresql.JSONB(), nullable=False),
        _now("decided_at"),
        sa.PrimaryKeyConstraint("job_id", name="pk_early_reservations"),
        schema=SCHEMA,
    )

    op.add_column(
        "attempts", sa.Column("backend", sa.String(80), server_default="", nullable=False), schema=SCHEMA
    )
    # Until now an attempt ran on its model's own backend, which its job's row names.
    op.execute(
        "UPDATE scheduler.attempts SET backend = jobs.backend FROM scheduler.jobs WHERE jobs.id = attempts.job_id"
    )
    op.drop_index("ix_attempts_recent", "attempts", schema=SCHEMA)
    _recent_index(["backend", "model", "finished_at"])
    op.add_column("nodes", sa.Column("told", sa.String(16), server_default="", nullable=False), schema=SCHEMA)


def _now(name: str) -> sa.Column[object]:
    now = sa.text("clock_timestamp()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=False)


def _job_index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "jobs", columns, schema=SCHEMA, postgresql_where=sa.text(where))


def _recent_index(columns: list[str]) -> None:
    op.create_index(
        "ix_attempts_recent",
        "attempts",
        columns,
        schema=SCHEMA,
        postgresql_where=sa.text("outcome = 'SUCCEEDED'"),
    )


def downgrade() -> None:
    op.drop_column("nodes", "told", schema=SCHEMA)
    op.drop_index("ix_attempts_recent", "attempts", schema=SCHEMA)
    op.drop_column("attempts", "backend", schema=SCHEMA)
    _recent_index(["model", "finished_at"])
    for table in ("early_reservations", "decisions"):
        op.drop_table(table, schema=SCHEMA)
    for index in ("ix_jobs_unsecured", "ix_jobs_fallback", "ix_jobs_step"):
        op.drop_index(index, "jobs", schema=SCHEMA)
    for column in (
        "waiting_since",
        "decided",
        "looks",
        "backend_failures",
        "bound",
        "held",
        "max_cost",
        "quotes",
        "fallback",
        "reservation",
    ):
        op.drop_column("jobs", column, schema=SCHEMA)
