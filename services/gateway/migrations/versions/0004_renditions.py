"""every output file of a job"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "gateway"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("other_artifacts", JSONB), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("jobs", "other_artifacts", schema=SCHEMA)
