"""What people were told of, and the events that programs are told of."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DUE = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", TIME),
        sa.Column("told_at", TIME),
        sa.Column("fewer_since", TIME),
        sa.Column("busy_until", TIME),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "recipient", name=op.f("pk_notices")),
    )
    op.create_table(
        "outgoing_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=64)),
        sa.Column("due_at", TIME),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("delivered_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outgoing_events")),
        sa.UniqueConstraint("message_id", name=op.f("uq_outgoing_events_message_id")),
    )
    op.create_index(
        op.f("ix_outgoing_events_due_at"), "outgoing_events", ["due_at"], sqlite_where=DUE, postgresql_where=DUE
    )
    op.create_index(op.f("ix_outgoing_events_created_at"), "outgoing_events", ["created_at"])
    op.create_index(op.f("ix_outgoing_events_state_id"), "outgoing_events", ["state", "id"])
