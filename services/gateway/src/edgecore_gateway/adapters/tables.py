"""The gateway's schema. Identifiers sort by creation time, so they are compared byte by byte."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from edgecore_runtime.database import metadata
from edgecore_runtime.migrations import folder
from edgecore_runtime.outbox import inbox_table, outbox_table
from edgecore_runtime.schema import Schema

SCHEMA = "gateway"
METADATA = metadata(SCHEMA)


def _id() -> String:
    return String(40, collation="C")


def _time(name: str, *, required: bool = False, now: bool = False) -> "Column[object]":
    default = func.clock_timestamp() if now else None
    return Column(name, DateTime(timezone=True), nullable=not (required or now), server_default=default)


users = Table(
    "users",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("email", String(320), unique=True),
    Column("role", String(20), nullable=False, server_default="user"),
    Column("password_hash", String(200)),
    _time("created_at", now=True),
    _time("disabled_at"),
    CheckConstraint("email = lower(email)", name="email_lower"),
)

api_keys = Table(
    "api_keys",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("id", _id(), nullable=False, unique=True),
    Column("user_id", _id(), ForeignKey("gateway.users.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("scopes", ARRAY(String(20)), nullable=False),
    Column("shown", String(20), nullable=False),
    _time("created_at", now=True),
    _time("revoked_at"),
    Index("ix_api_keys_user_id", "user_id"),
)

# One sign-in: the family of refresh tokens that follow from it, of which the newest alone is unused.
sessions = Table(
    "sessions",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("user_id", _id(), ForeignKey("gateway.users.id"), nullable=False),
    _time("created_at", required=True),
    _time("expires_at", required=True),
    _time("revoked_at"),
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_expires_at", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("session_id", _id(), ForeignKey("gateway.sessions.id", ondelete="CASCADE"), nullable=False),
    _time("created_at", required=True),
    _time("used_at"),
    Index("ix_refresh_tokens_session_id", "session_id"),
)

signing_keys = Table(
    "signing_keys",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("private_key", LargeBinary, nullable=False),
    _time("created_at", required=True),
)

# No foreign keys: what is written here outlives what it names.
audit = Table(
    "audit",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("actor", _id()),
    Column("action", String(40), nullable=False),
    Column("target", String(320), nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("address", String(64), nullable=False),
    Column("detail", JSONB, nullable=False),
    _time("occurred_at", required=True),
)

# user_id has no foreign key: every insert would lock the user's row, and many at once make multixacts of it.
jobs = Table(
    "jobs",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("user_id", _id(), nullable=False),
    Column("state", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("spec", JSONB, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", String(40)),
    Column("detail", Text),
    Column("artifact", JSONB(none_as_null=True)),
    Column("other_artifacts", JSONB(none_as_null=True)),
    _time("created_at", required=True),
    _time("updated_at", required=True),
    _time("finished_at"),
    _time("cancel_requested_at"),
    Column("reservation", String(20), nullable=False, server_default="none"),
    Column("cost_estimated", BigInteger),
    Column("cost_actual", BigInteger),
)
Index("ix_jobs_user_id_id", jobs.c.user_id, jobs.c.id.desc())

job_transitions = Table(
    "job_transitions",
    METADATA,
    Column("job_id", _id(), ForeignKey("gateway.jobs.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("from_state", String(20), nullable=False),
    Column("to_state", String(20), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("detail", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("node", Text, nullable=False),
    _time("occurred_at", required=True),
)

# The assignment writes node and started_at, the end writes the rest; neither touches the other's columns, so
# the order in which the two events arrive does not matter.
attempts = Table(
    "attempts",
    METADATA,
    Column("job_id", _id(), ForeignKey("gateway.jobs.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("node", Text, nullable=False),
    Column("outcome", String(20)),
    Column("reason", String(40)),
    _time("started_at"),
    _time("finished_at"),
    Column("measurements", JSONB(none_as_null=True)),
)

# The lines of cost's ledger; the sum stands in the job's row.
job_costs = Table(
    "job_costs",
    METADATA,
    Column("job_id", _id(), ForeignKey("gateway.jobs.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(20), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("quantity", Float, nullable=False),
    Column("price_id", Text, nullable=False),
    _time("occurred_at", required=True),
)

# job_id has no foreign key: this row is written first, so that a concurrent repetition waits here.
idempotency = Table(
    "idempotency",
    METADATA,
    Column("user_id", _id(), primary_key=True),
    Column("key", String(255, collation="C"), primary_key=True),
    Column("job_id", _id(), nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    _time("created_at", now=True),
    Index("ix_idempotency_created_at", "created_at"),
)

# What callers give jobs to work with. A row, with its file, is gone for callers once expires_at is past.
uploads = Table(
    "uploads",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("user_id", _id(), nullable=False),
    Column("media_type", String(20), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    _time("created_at", required=True),
    _time("expires_at", required=True),
    Index("ix_uploads_user_id", "user_id"),
    Index("ix_uploads_expires_at", "expires_at"),
)

# LoRA adapters. One that expires is being stored, or was deleted.
lora_adapters = Table(
    "lora_adapters",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("user_id", _id(), nullable=False),
    Column("name", String(64), nullable=False),
    Column("base", String(40), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("alpha", Float, nullable=False),
    Column("triggers", ARRAY(Text), nullable=False),
    Column("hint", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    _time("created_at", required=True),
    _time("expires_at"),
    Index("ix_lora_adapters_expires_at", "expires_at"),
)
Index("ix_lora_adapters_user_id_id", lora_adapters.c.user_id, lora_adapters.c.id.desc())

# Which upload and adapters a job works with: their files stay while it lives.
job_inputs = Table(
    "job_inputs",
    METADATA,
    Column("input_id", _id(), primary_key=True),
    Column("job_id", _id(), ForeignKey("gateway.jobs.id"), primary_key=True),
)

outbox = outbox_table(METADATA)
inbox = inbox_table(METADATA)

schema = Schema(METADATA, outbox, folder(__file__))
