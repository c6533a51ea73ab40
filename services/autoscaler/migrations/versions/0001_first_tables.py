"""demand per model and minute, the pools' last snapshots; inbox"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "demand",
        sa.Column("model", sa.String(length=80), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("gpu_seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("model", "minute", name="pk_demand"),
        schema="autoscaler",
    )
    op.create_index("ix_demand_minute", "demand", ["minute"], unique=False, schema="autoscaler")
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.String(length=120), nullable=False),
        sa.Column(
            "handled_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("event_id", name="pk_inbox"),
        schema="autoscaler",
    )
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"], unique=False, schema="autoscaler")
    op.create_table(
        "snapshots",
        sa.Column("pool", sa.String(length=120), nullable=False),
        sa.Column("backend", sa.String(length=80), nullable=False),
        sa.Column("queued", sa.Integer(), nullable=False),
        sa.Column("queued_seconds", sa.Float(), nullable=False),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("nodes_ready", sa.Integer(), nullable=False),
        sa.Column("nodes_draining", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("seconds_per_job", sa.Float(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("pool", name="pk_snapshots"),
        schema="autoscaler",
    )
    op.create_index("ix_snapshots_backend", "snapshots", ["backend"], unique=False, schema="autoscaler")


def downgrade() -> None:
    for table in ("snapshots", "inbox", "demand"):
        op.drop_table(table, schema="autoscaler")
