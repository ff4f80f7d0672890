"""What is measured from the audio of a recording: its length, its channels, and its peaks."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
DUE = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "waveforms",
        sa.Column("recording_id", ID, autoincrement=False, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("seconds", sa.Float()),
        sa.Column("channels", sa.Integer()),
        sa.Column("sample_rate", sa.Integer()),
        sa.Column("points", sa.Integer()),
        sa.Column("peaks", sa.LargeBinary()),
        sa.Column("made_at", TIME),
        sa.Column("error", sa.Text()),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name=op.f("fk_waveforms_recording_id_recordings")),
        sa.PrimaryKeyConstraint("recording_id", name=op.f("pk_waveforms")),
    )
    op.create_index(op.f("ix_waveforms_due_at"), "waveforms", ["due_at"], sqlite_where=DUE, postgresql_where=DUE)
