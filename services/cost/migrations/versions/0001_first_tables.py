"""prices, accounts, jobs, reservations, ledger, measured attempts, pools, nodes; outbox and inbox"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "cost"
NOW = sa.func.clock_timestamp()
OPEN = sa.text("closed IS NULL AND state = 'SECURED'")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "prices",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("backend", sa.String(80), nullable=False),
        sa.Column("model", sa.String(160), nullable=False),
        sa.Column("unit", sa.String(24), nullable=False),
        sa.Column("micros", sa.BigInteger, nullable=False),
        sa.Column("valid_from", _moment(), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("created_at", _moment(), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_prices"),
        schema=SCHEMA,
    )
    op.create_table(
        "accounts",
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("own_limit", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("monthly", sa.BigInteger),
        sa.PrimaryKeyConstraint("user_id", name="pk_accounts"),
        schema=SCHEMA,
    )
    op.create_table(
        "spending",
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("period", _moment(), nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("exhausted_at", _moment()),
        sa.PrimaryKeyConstraint("user_id", "period", name="pk_spending"),
        schema=SCHEMA,
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("model", sa.String(80)),
        sa.Column("spec", sa.LargeBinary),
        sa.Column("ended_at", _moment()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        schema=SCHEMA,
    )
    op.create_table(
        "reservations",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("estimate", sa.BigInteger, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("quotes", JSONB, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("closed", sa.String(16)),
        sa.Column("created_at", _moment(), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("job_id", name="pk_reservations"),
        schema=SCHEMA,
    )
    op.create_index("ix_reservations_open", "reservations", ["user_id"], schema=SCHEMA, postgresql_where=OPEN)
    op.create_index("ix_reservations_age", "reservations", ["created_at"], schema=SCHEMA, postgresql_where=OPEN)
    op.create_table(
        "ledger",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("quantity", sa.Float, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("price_id", sa.String(80), nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", "kind", name="pk_ledger"),
        schema=SCHEMA,
    )
    op.create_index("ix_ledger_user_id_occurred_at", "ledger", ["user_id", "occurred_at"], schema=SCHEMA)
    op.create_table(
        "measured",
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("device", sa.String(160), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", name="pk_measured"),
        schema=SCHEMA,
    )
    op.create_index("ix_measured_occurred_at", "measured", ["occurred_at"], schema=SCHEMA)
    op.create_table(
        "pools",
        sa.Column("pool", sa.String(120), nullable=False),
        sa.Column("backend", sa.String(80), nullable=False),
        sa.Column("queued", sa.Integer, nullable=False),
        sa.Column("queued_seconds", sa.Float, nullable=False),
        sa.Column("running", sa.Integer, nullable=False),
        sa.Column("nodes_ready", sa.Integer, nullable=False),
        sa.Column("capacity", sa.Integer, nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("pool", name="pk_pools"),
        schema=SCHEMA,
    )
    op.create_table(
        "nodes",
        sa.Column("node_id", sa.String(160), nullable=False),
        sa.Column("backend", sa.String(80), nullable=False),
        sa.Column("device", sa.String(160), nullable=False),
        sa.Column("ready", sa.Boolean, nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_nodes"),
        schema=SCHEMA,
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("event_id", sa.String(40), nullable=False),
        sa.Column("topic", sa.String(120), nullable=False),
        sa.Column("key", sa.String(120), nullable=False),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _moment(), nullable=False, server_default=NOW),
        sa.Column("sent_at", _moment()),
        sa.Column("sent_partition", sa.Integer),
        sa.Column("sent_offset", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("event_id", name="uq_outbox_event_id"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_outbox_unsent", "outbox", ["id"], schema=SCHEMA, postgresql_where=sa.text("sent_at IS NULL")
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
    for table in (
        "inbox", "outbox", "nodes", "pools", "measured", "ledger", "reservations", "jobs", "spending", "accounts",
        "prices",
    ):  # fmt: skip
        op.drop_table(table, schema=SCHEMA)
