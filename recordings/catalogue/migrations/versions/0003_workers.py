"""Workers say that they are alive; refused deliveries that look like Vonage's are told from the others."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
REFUSED = sa.text("outcome = 'refused'")


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.drop_index("ix_deliveries_refused", "deliveries")
    op.add_column("deliveries", sa.Column("worth", sa.Integer(), nullable=False, server_default="0"))
    op.create_index(
        "ix_deliveries_refused",
        "deliveries",
        ["route", "worth", "id"],
        sqlite_where=REFUSED,
        postgresql_where=REFUSED,
    )
