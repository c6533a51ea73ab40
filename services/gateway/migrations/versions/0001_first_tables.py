"""users, keys, jobs and what is known of them; outbox and inbox"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "gateway"
NOW = sa.func.clock_timestamp()


def _id() -> sa.String:
    return sa.String(40, collation="C")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", _id(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        schema=SCHEMA,
    )
    op.create_table(
        "api_keys",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("shown", sa.String(20), nullable=False),
        sa.Column("created_at", _moment(), nullable=False, server_default=NOW),
        sa.Column("revoked_at", _moment()),
        sa.PrimaryKeyConstraint("hash", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["user_id"], ["gateway.users.id"], name="fk_api_keys_user_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"], schema=SCHEMA)
    op.create_table(
        "jobs",
        sa.Column("id", _id(), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("spec", JSONB, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(40)),
        sa.Column("detail", sa.Text),
        sa.Column("artifact", JSONB),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("updated_at", _moment(), nullable=False),
        sa.Column("finished_at", _moment()),
        sa.Column("cancel_requested_at", _moment()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        schema=SCHEMA,
    )
    op.create_index("ix_jobs_user_id_id", "jobs", ["user_id", sa.text("id DESC")], schema=SCHEMA)
    op.create_table(
        "job_transitions",
        sa.Column("job_id", _id(), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("from_state", sa.String(20), nullable=False),
        sa.Column("to_state", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "version", name="pk_job_transitions"),
        sa.ForeignKeyConstraint(["job_id"], ["gateway.jobs.id"], name="fk_job_transitions_job_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", _id(), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(20)),
        sa.Column("reason", sa.String(40)),
        sa.Column("started_at", _moment()),
        sa.Column("finished_at", _moment()),
        sa.Column("measurements", JSONB),
        sa.PrimaryKeyConstraint("job_id", "attempt", name="pk_attempts"),
        sa.ForeignKeyConstraint(["job_id"], ["gateway.jobs.id"], name="fk_attempts_job_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "idempotency",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("key", sa.String(255, collation="C"), nullable=False),
        sa.Column("job_id", _id(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _moment(), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_idempotency"),
        schema=SCHEMA,
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], schema=SCHEMA)
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
    for table in ("inbox", "outbox", "idempotency", "attempts", "job_transitions", "jobs", "api_keys", "users"):
        op.drop_table(table, schema=SCHEMA)
