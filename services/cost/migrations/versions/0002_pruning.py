"""indexes for what is forgotten after a while"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "cost"
OVER = sa.text("closed IS NOT NULL OR state = 'DECLINED'")


def upgrade() -> None:
    op.create_index("ix_jobs_ended_at", "jobs", ["ended_at"], schema=SCHEMA)
    op.create_index("ix_reservations_over", "reservations", ["created_at"], schema=SCHEMA, postgresql_where=OVER)


def downgrade() -> None:
    op.drop_index("ix_reservations_over", "reservations", schema=SCHEMA)
    op.drop_index("ix_jobs_ended_at", "jobs", schema=SCHEMA)
