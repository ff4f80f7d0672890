"""Recordings carry what a search asks for: their state, the digits of their numbers; and a row holds the figures."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DIGITS = sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql")
AT_ONCE = 5000

STATE = sa.text("""
    UPDATE recordings SET state = coalesce((
        SELECT CASE copies.state WHEN 'fetching' THEN 'pending' ELSE copies.state END FROM copies WHERE copies.recording_id = recordings.id
        ORDER BY CASE copies.state
            WHEN 'failed' THEN 0 WHEN 'blocked' THEN 1 WHEN 'waiting' THEN 2 WHEN 'fetching' THEN 3
            WHEN 'pending' THEN 4 WHEN 'stored' THEN 5 END
        LIMIT 1), 'empty')
    WHERE id > :after AND id <= :last
""")

# The call behind each recording: its own with a leg, else the first of its own and of those that moved in.
CALL = sa.text("""
    SELECT behind.id, calls.from_number, calls.to_number, calls.direction, calls.flow, calls.format
    FROM (
        SELECT id, coalesce(with_leg, CASE WHEN moved_in < own THEN moved_in END, own, moved_in) AS call_id
        FROM (
            SELECT recordings.id,
                (SELECT c.id FROM calls c WHERE c.conversation_key = recordings.conversation_key
                    AND c.leg_uuid IS NOT NULL) AS with_leg,
                (SELECT c.id FROM calls c WHERE c.conversation_key = recordings.conversation_key) AS own,
                (SELECT min(c.id) FROM calls c WHERE c.joined_key = recordings.conversation_key) AS moved_in
            FROM recordings WHERE recordings.id > :after AND recordings.id <= :last
        ) AS candidates
    ) AS behind
    JOIN calls ON calls.id = behind.call_id
""")

NUMBERS = sa.text("""
    UPDATE recordings SET
        from_digits = :from_digits, from_rev = :from_rev, to_digits = :to_digits, to_rev = :to_rev,
        direction = :direction, flow = coalesce(flow, :flow), format = coalesce(:format, format)
    WHERE id = :id
""")


def upgrade() -> None:
    op.add_column("recordings", sa.Column("state", sa.String(length=16), nullable=False, server_default="empty"))
    for name in ("from_digits", "from_rev", "to_digits", "to_rev"):
        op.add_column("recordings", sa.Column(name, DIGITS, nullable=True))
    op.add_column("recordings", sa.Column("direction", sa.Text(), nullable=True))
    op.add_column("recordings", sa.Column("seconds", sa.Float(), nullable=True))
    op.add_column("recordings", sa.Column("heard_channels", sa.Integer(), nullable=True))
    index_calls_and_copies()
    fill()
    index_recordings()
    op.create_table(
        "figures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("counted_at", TIME, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_figures")),
    )


def index_calls_and_copies() -> None:
    joined = sa.text("joined_key IS NOT NULL")
    op.drop_index(op.f("ix_calls_joined_key_id"), "calls")
    op.create_index(
        op.f("ix_calls_joined_key_id"), "calls", ["joined_key", "id"], sqlite_where=joined, postgresql_where=joined
    )
    op.drop_index(op.f("ix_copies_state"), "copies")
    op.create_index(op.f("ix_copies_state_storage_size"), "copies", ["state", "storage", "size"])


def fill() -> None:
    """Some thousand rows at a time: one statement for all of them would need memory and time without bound."""
    connection = op.get_bind()
    last = connection.execute(sa.text("SELECT coalesce(max(id), 0) FROM recordings")).scalar_one()
    for after in range(0, last, AT_ONCE):
        part = {"after": after, "last": after + AT_ONCE}
        connection.execute(STATE, part)
        rows = [numbers(row) for row in connection.execute(CALL, part)]
        if rows:
            connection.execute(NUMBERS, rows)


def numbers(row: sa.Row[Any]) -> dict[str, Any]:
    from_digits, to_digits = digits_of(row.from_number), digits_of(row.to_number)
    return {
        "id": row.id,
        "from_digits": from_digits,
        "from_rev": from_digits and from_digits[::-1],
        "to_digits": to_digits,
        "to_rev": to_digits and to_digits[::-1],
        "direction": row.direction,
        "flow": row.flow,
        "format": row.format,
    }


def digits_of(number: str | None) -> str | None:
    user = (number or "").partition("@")[0]
    return "".join(character for character in user if character in "0123456789")[:32] or None


def index_recordings() -> None:
    op.drop_index(op.f("ix_recordings_received_at"), "recordings")
    op.create_index(op.f("ix_recordings_received_at_id"), "recordings", ["received_at", "id"])
    op.create_index(op.f("ix_recordings_state_received_at_id"), "recordings", ["state", "received_at", "id"])
    for name in ("flow", "from_digits", "from_rev", "to_digits", "to_rev"):
        known = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            op.f(f"ix_recordings_{name}_received_at_id"),
            "recordings",
            [name, "received_at", "id"],
            sqlite_where=known,
            postgresql_where=known,
        )
