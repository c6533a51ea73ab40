"""users who sign in, scoped keys, sessions, signing keys, audit"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "gateway"
NOW = sa.func.clock_timestamp()


def _id() -> sa.String:
    return sa.String(40, collation="C")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    _users()
    _api_keys()
    op.create_table(
        "sessions",
        sa.Column("id", _id(), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("expires_at", _moment(), nullable=False),
        sa.Column("revoked_at", _moment()),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["gateway.users.id"], name="fk_sessions_user_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], schema=SCHEMA)
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"], schema=SCHEMA)
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("session_id", _id(), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("used_at", _moment()),
        sa.PrimaryKeyConstraint("hash", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["gateway.sessions.id"], name="fk_refresh_tokens_session_id", ondelete="CASCADE"
        ),
        schema=SCHEMA,
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"], schema=SCHEMA)
    op.create_table(
        "signing_keys",
        sa.Column("id", _id(), nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_signing_keys"),
        schema=SCHEMA,
    )
    op.create_table(
        "audit",
        sa.Column("id", _id(), nullable=False),
        sa.Column("actor", _id()),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("target", sa.String(320), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("detail", JSONB, nullable=False),
        sa.Column("occurred_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        schema=SCHEMA,
    )


def _users() -> None:
    op.add_column("users", sa.Column("email", sa.String(320)), schema=SCHEMA)
    op.add_column("users", sa.Column("role", sa.String(20), nullable=False, server_default="user"), schema=SCHEMA)
    op.add_column("users", sa.Column("password_hash", sa.String(200)), schema=SCHEMA)
    op.add_column("users", sa.Column("created_at", _moment(), nullable=False, server_default=NOW), schema=SCHEMA)
    op.add_column("users", sa.Column("disabled_at", _moment()), schema=SCHEMA)
    op.create_unique_constraint("uq_users_email", "users", ["email"], schema=SCHEMA)
    op.create_check_constraint(op.f("ck_users_email_lower"), "users", "email = lower(email)", schema=SCHEMA)


def _api_keys() -> None:
    """Keys from before scopes could do everything their user may do, and keep that."""
    op.add_column("api_keys", sa.Column("id", _id()), schema=SCHEMA)
    op.add_column(
        "api_keys", sa.Column("name", sa.String(200), nullable=False, server_default="API key"), schema=SCHEMA
    )
    op.add_column("api_keys", sa.Column("scopes", ARRAY(sa.String(20))), schema=SCHEMA)
    op.execute(
        "UPDATE gateway.api_keys SET id = 'key_' || upper(left(encode(hash, 'hex'), 26)),"
        " scopes = ARRAY['generate', 'read', 'admin']"
    )
    op.alter_column("api_keys", "id", nullable=False, schema=SCHEMA)
    op.alter_column("api_keys", "scopes", nullable=False, schema=SCHEMA)
    op.alter_column("api_keys", "name", server_default=None, schema=SCHEMA)
    op.create_unique_constraint("uq_api_keys_id", "api_keys", ["id"], schema=SCHEMA)


def downgrade() -> None:
    for table in ("audit", "signing_keys", "refresh_tokens", "sessions"):
        op.drop_table(table, schema=SCHEMA)
    for column in ("scopes", "name", "id"):
        op.drop_column("api_keys", column, schema=SCHEMA)
    for column in ("disabled_at", "created_at", "password_hash", "role", "email"):
        op.drop_column("users", column, schema=SCHEMA)
