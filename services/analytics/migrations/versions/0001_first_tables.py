"""jobs with their figures, attempts, costs, pools, nodes; inbox"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "analytics"
NOW = sa.func.clock_timestamp()


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("accepted_at", _moment()),
        sa.Column("asked_seconds", sa.Float, nullable=False),
        sa.Column("made_seconds", sa.Float),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("finished_at", _moment()),
        sa.Column("seen_at", _moment(), nullable=False, server_default=NOW),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("fallback", sa.Boolean, nullable=False),
        sa.Column("video_seconds", sa.Float, nullable=False),
        sa.Column("compute_seconds", sa.Float, nullable=False),
        sa.Column("cost_micros", sa.BigInteger, nullable=False),
        sa.Column("latency_seconds", sa.Float),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        schema=SCHEMA,
    )
    op.create_index("ix_jobs_accepted_at", "jobs", ["accepted_at"], schema=SCHEMA)
    op.create_index("ix_jobs_user_id_accepted_at", "jobs", ["user_id", "accepted_at"], schema=SCHEMA)
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["state"],
        schema=SCHEMA,
        postgresql_where=sa.text("state NOT IN ('DELIVERED', 'ERROR', 'CANCELLED')"),
    )
    op.create_index("ix_jobs_age", "jobs", [sa.text("coalesce(accepted_at, seen_at)")], schema=SCHEMA)
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("backend", sa.String(80), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("reason", sa.String(32)),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", name="pk_attempts"),
        sa.ForeignKeyConstraint(["job_id"], [f"{SCHEMA}.jobs.id"], name="fk_attempts_job_id", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_table(
        "costs",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("micros", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Float, nullable=False),
        sa.Column("price_id", sa.String(80), nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", "kind", name="pk_costs"),
        sa.ForeignKeyConstraint(["job_id"], [f"{SCHEMA}.jobs.id"], name="fk_costs_job_id", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_table(
        "pools",
        sa.Column("pool", sa.String(80), nullable=False),
        sa.Column("backend", sa.String(80), nullable=False),
        sa.Column("queued", sa.Integer, nullable=False),
        sa.Column("queued_seconds", sa.Float, nullable=False),
        sa.Column("running", sa.Integer, nullable=False),
        sa.Column("capacity", sa.Integer, nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("pool", name="pk_pools"),
        schema=SCHEMA,
    )
    op.create_table(
        "nodes",
        sa.Column("node_id", sa.String(120), nullable=False),
        sa.Column("pool", sa.String(80), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_nodes"),
        schema=SCHEMA,
    )
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.String(120), nullable=False),
        sa.Column("handled_at", _moment(), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("event_id", name="pk_inbox"),
        schema=SCHEMA,
    )
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"], schema=SCHEMA)


def downgrade() -> None:
    for table in ("inbox", "nodes", "pools", "costs", "attempts", "jobs"):
        op.drop_table(table, schema=SCHEMA)
