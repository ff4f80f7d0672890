"""When a worker claimed a copy: how long the work on it takes already."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("copies", sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True))
