"""what callers give jobs to work with: uploads, adapters"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "gateway"


def _id(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.String(40, collation="C"), nullable=False)


def _time(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "uploads",
        _id("id"),
        _id("user_id"),
        sa.Column("media_type", sa.String(20), nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        _time("created_at"),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        schema=SCHEMA,
    )
    op.create_index("ix_uploads_user_id", "uploads", ["user_id"], schema=SCHEMA)
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"], schema=SCHEMA)
    op.create_table(
        "lora_adapters",
        _id("id"),
        _id("user_id"),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("base", sa.String(40), nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("alpha", sa.Float, nullable=False),
        sa.Column("triggers", ARRAY(sa.Text), nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        _time("created_at"),
        _time("expires_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_lora_adapters"),
        schema=SCHEMA,
    )
    op.create_index("ix_lora_adapters_expires_at", "lora_adapters", ["expires_at"], schema=SCHEMA)
    newest_first = ["user_id", sa.text("id DESC")]
    op.create_index("ix_lora_adapters_user_id_id", "lora_adapters", newest_first, schema=SCHEMA)
    op.create_table(
        "job_inputs",
        _id("input_id"),
        _id("job_id"),
        sa.PrimaryKeyConstraint("input_id", "job_id", name="pk_job_inputs"),
        sa.ForeignKeyConstraint(["job_id"], ["gateway.jobs.id"], name="fk_job_inputs_job_id"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for table in ("job_inputs", "lora_adapters", "uploads"):
        op.drop_table(table, schema=SCHEMA)
