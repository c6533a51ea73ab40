"""what jobs are estimated and known to cost"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "gateway"


def upgrade() -> None:
    reservation = sa.Column("reservation", sa.String(20), nullable=False, server_default="none")
    op.add_column("jobs", reservation, schema=SCHEMA)
    op.add_column("jobs", sa.Column("cost_estimated", sa.BigInteger), schema=SCHEMA)
    op.add_column("jobs", sa.Column("cost_actual", sa.BigInteger), schema=SCHEMA)
    op.create_table(
        "job_costs",
        sa.Column("job_id", sa.String(40, collation="C"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Float, nullable=False),
        sa.Column("price_id", sa.Text, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", "kind", name="pk_job_costs"),
        sa.ForeignKeyConstraint(["job_id"], ["gateway.jobs.id"], name="fk_job_costs_job_id"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("job_costs", schema=SCHEMA)
    for column in ("cost_actual", "cost_estimated", "reservation"):
        op.drop_column("jobs", column, schema=SCHEMA)
