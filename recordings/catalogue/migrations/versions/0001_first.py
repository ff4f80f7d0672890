"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", ID, nullable=False),
        sa.Column("conversation_key", sa.Text(), nullable=False),
        sa.Column("conversation_uuid", sa.Text(), nullable=False),
        sa.Column("joined_key", sa.Text(), nullable=True),
        sa.Column("application_id", sa.Text(), nullable=False),
        sa.Column("leg_uuid", sa.Text(), nullable=True),
        sa.Column("from_number", sa.Text(), nullable=True),
        sa.Column("to_number", sa.Text(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=True),
        sa.Column("flow", sa.String(length=32), nullable=True),
        sa.Column("format", sa.String(length=8), nullable=True),
        sa.Column("channels", sa.Integer(), nullable=True),
        sa.Column("region_url", sa.Text(), nullable=True),
        sa.Column("answered_at", TIME, nullable=True),
        sa.Column("completed_at", TIME, nullable=True),
        sa.Column("expectation", sa.String(length=16), nullable=True),
        sa.Column("missing_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        sa.UniqueConstraint("conversation_key", name=op.f("uq_calls_conversation_key")),
    )
    op.create_index(op.f("ix_calls_joined_key"), "calls", ["joined_key"], unique=False)
    op.create_index(op.f("ix_calls_expectation"), "calls", ["expectation"], unique=False)
    op.create_table(
        "recordings",
        sa.Column("id", ID, nullable=False),
        sa.Column("application_id", sa.Text(), nullable=False),
        sa.Column("recording_uuid", sa.Text(), nullable=False),
        sa.Column("conversation_uuid", sa.Text(), nullable=False),
        sa.Column("conversation_key", sa.Text(), nullable=False),
        sa.Column("recording_url", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("start_time", TIME, nullable=True),
        sa.Column("end_time", TIME, nullable=True),
        sa.Column("timestamp", TIME, nullable=True),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("flow", sa.String(length=32), nullable=True),
        sa.Column("format", sa.String(length=8), nullable=True),
        sa.Column("channels", sa.Integer(), nullable=True),
        sa.Column("empty", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
        sa.UniqueConstraint(
            "application_id", "recording_uuid", name=op.f("uq_recordings_application_id_recording_uuid")
        ),
    )
    op.create_index(op.f("ix_recordings_conversation_key"), "recordings", ["conversation_key"], unique=False)
    op.create_index(op.f("ix_recordings_received_at"), "recordings", ["received_at"], unique=False)
    op.create_table(
        "copies",
        sa.Column("id", ID, nullable=False),
        sa.Column("recording_id", ID, nullable=False),
        sa.Column("storage", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=True),
        sa.Column("held_until", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("uri", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("stored_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name=op.f("fk_copies_recording_id_recordings")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_copies")),
        sa.UniqueConstraint("recording_id", "storage", name=op.f("uq_copies_recording_id_storage")),
    )
    op.create_index(op.f("ix_copies_state_due_at"), "copies", ["state", "due_at"], unique=False)
    op.create_index(op.f("ix_copies_token"), "copies", ["token"], unique=False)
    op.create_index(op.f("ix_copies_key"), "copies", ["key"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("route", sa.String(length=32), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("application_id", sa.Text(), nullable=False),
        sa.Column("signed", sa.Boolean(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("recording_id", ID, nullable=True),
        sa.Column("token", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name=op.f("fk_deliveries_recording_id_recordings")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_received_at"), "deliveries", ["received_at"], unique=False)
    op.create_index(op.f("ix_deliveries_recording_id"), "deliveries", ["recording_id"], unique=False)
    refused = sa.text("outcome = 'refused'")
    op.create_index(
        "ix_deliveries_refused",
        "deliveries",
        ["route", "id"],
        unique=False,
        sqlite_where=refused,
        postgresql_where=refused,
    )
    op.create_table(
        "call_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("delivery_id", ID, nullable=True),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("conversation_key", sa.Text(), nullable=False),
        sa.Column("leg_uuid", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("timestamp", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
            name=op.f("fk_call_events_delivery_id_deliveries"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call_events")),
    )
    op.create_index(op.f("ix_call_events_conversation_key"), "call_events", ["conversation_key"], unique=False)
    op.create_index(op.f("ix_call_events_delivery_id"), "call_events", ["delivery_id"], unique=False)
    op.create_index(op.f("ix_call_events_leg_uuid"), "call_events", ["leg_uuid"], unique=False)
    op.create_table(
        "transcriptions",
        sa.Column("id", ID, nullable=False),
        sa.Column("delivery_id", ID, nullable=True),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("application_id", sa.Text(), nullable=False),
        sa.Column("recording_uuid", sa.Text(), nullable=False),
        sa.Column("conversation_uuid", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
            name=op.f("fk_transcriptions_delivery_id_deliveries"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transcriptions")),
    )
    op.create_index(op.f("ix_transcriptions_delivery_id"), "transcriptions", ["delivery_id"], unique=False)
    op.create_index(op.f("ix_transcriptions_recording_uuid"), "transcriptions", ["recording_uuid"], unique=False)


def downgrade() -> None:
    raise RuntimeError("There is nothing before the first schema: delete the database instead.")
