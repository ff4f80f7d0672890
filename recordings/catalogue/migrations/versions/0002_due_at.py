"""A copy's row is its job: `due_at` alone says when a worker may take it, and is empty once nothing is left to do."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DUE = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    op.drop_index(op.f("ix_copies_state_due_at"), "copies")
    with op.batch_alter_table("copies") as copies:
        copies.alter_column("due_at", existing_type=TIME, nullable=True)
    op.execute("UPDATE copies SET due_at = held_until")
    op.execute("UPDATE copies SET due_at = NULL WHERE state NOT IN ('pending', 'waiting', 'blocked', 'fetching')")
    with op.batch_alter_table("copies") as copies:
        copies.drop_column("held_until")
    op.create_index(op.f("ix_copies_due_at"), "copies", ["due_at"], sqlite_where=DUE, postgresql_where=DUE)
    op.create_index(op.f("ix_copies_state"), "copies", ["state"])
    op.drop_index(op.f("ix_calls_joined_key"), "calls")
    op.create_index(op.f("ix_calls_joined_key_id"), "calls", ["joined_key", "id"])
