"""The catalogue's tables, for SQLite and Postgres alike. Changing one means a migration and a new `HEAD`."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import BigInteger

from .utc_time import UtcTime

# The newest migration. A database that stands here is used without loading Alembic.
HEAD = "0010"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives out row ids by itself for INTEGER keys only.
_Id = BigInteger().with_variant(Integer, "sqlite")


# Literals and not parameters: SQLite compares the text with the condition of a partial index.
REFUSED = text("outcome = 'refused'")
DUE = text("due_at IS NOT NULL")


def _known(column: str) -> TextClause:
    """The condition of an index that holds only the rows where this column is not empty.

    SQLite's statistics take all NULLs for one value. After ANALYZE its planner would take an index that holds many of
    them for useless, and read the whole table instead. https://sqlite.org/lang_analyze.html
    """
    return text(f"{column} IS NOT NULL")


def _partial(*columns: str, where: TextClause, name: str | None = None) -> Index:
    """An index of the rows that meet this condition, on both databases.

    On Postgres the migrations give it the condition: SQLAlchemy would load the dialect to be told of it here, and a
    command on SQLite would take a tenth longer.
    """
    return Index(name, *columns, sqlite_where=where)


def _known_index(*columns: str) -> Index:
    return _partial(*columns, where=_known(columns[0]))


# Digits are compared byte by byte: in another collation Postgres could not use an index to look for a prefix.
# https://www.postgresql.org/docs/current/indexes-opclass.html
_Digits = String(32).with_variant(String(32, collation="C"), "postgresql")

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("received_at", UtcTime, nullable=False),
    Column("route", String(32), nullable=False),
    Column("method", String(8), nullable=False),
    Column("query", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("application_id", Text, nullable=False),
    Column("signed", Boolean, nullable=False),
    Column("jti", Text),
    Column("outcome", String(16), nullable=False),  # new, repeat, conflict, noted, unreadable, refused
    Column("problem", Text),
    Column("recording_id", _Id, ForeignKey("recordings.id")),
    Column("worth", Integer, nullable=False, server_default="0"),  # of a refused delivery: see `inbox.Worth`
    Column("token", Text),  # the Authorization header of a refused delivery, which a replay verifies again
    Index(None, "received_at"),
    Index(None, "recording_id"),
    # Only refused deliveries are in this index, so accepted ones do not pay for it.
    _partial("route", "worth", "id", where=REFUSED, name="ix_deliveries_refused"),
)

recordings = Table(
    "recordings",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("application_id", Text, nullable=False),
    Column("recording_uuid", Text, nullable=False),
    Column("conversation_uuid", Text, nullable=False),  # as the event writes it
    Column("conversation_key", Text, nullable=False),  # lower case, without CON-: joins events and calls
    Column("recording_url", Text, nullable=False),
    Column("size", BigInteger),
    Column("start_time", UtcTime),
    Column("end_time", UtcTime),
    Column("timestamp", UtcTime),
    Column("received_at", UtcTime, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("flow", String(32)),
    Column("format", String(8)),
    Column("channels", Integer),
    Column("empty", Boolean, nullable=False),
    # What follows from other tables, so that a search finds it in an index; `derived` alone writes it.
    Column("state", String(16), nullable=False, server_default="empty"),  # of the worst copy: see `derived.state_kept`
    Column("from_digits", _Digits),  # of the numbers of the call behind the recording
    Column("from_rev", _Digits),  # backwards: how a number ends is how this one begins
    Column("to_digits", _Digits),
    Column("to_rev", _Digits),
    Column("direction", Text),
    # Measured from the audio itself; empty until then.
    Column("seconds", Float),
    Column("heard_channels", Integer),
    UniqueConstraint("application_id", "recording_uuid"),  # see `identity`
    Index(None, "conversation_key"),
    Index(None, "received_at", "id"),
    Index(None, "state", "received_at", "id"),
    *(
        _known_index(column, "received_at", "id")
        for column in ("flow", "from_digits", "from_rev", "to_digits", "to_rev")
    ),
)

copies = Table(
    "copies",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("recording_id", _Id, ForeignKey("recordings.id"), nullable=False),
    Column("storage", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("token", String(64)),  # of the claim; a worker may end a claim only with its token
    # When a worker may claim the copy: the end of a lease or of a back-off. NULL: no worker will claim it.
    Column("due_at", UtcTime),
    Column("claimed_at", UtcTime),  # when the last worker took it
    Column("key", Text),
    # The audio in the store. A copy that is not `stored` has these where only its sidecar is missing.
    Column("size", BigInteger),
    Column("sha256", String(64)),
    Column("content_type", Text),
    Column("uri", Text),
    Column("error", Text),
    Column("stored_at", UtcTime),
    UniqueConstraint("recording_id", "storage"),
    _partial("due_at", where=DUE),
    Index(None, "state", "storage", "size"),  # all that counting needs
    Index(None, "token"),
    Index(None, "key"),
)

# The attempts at copies that failed. See `attempts`.
attempts = Table(
    "attempts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("copy_id", _Id, ForeignKey("copies.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("state", String(16), nullable=False),  # that it led to: waiting, blocked, failed
    Column("error", Text, nullable=False),
    Index(None, "copy_id", "id"),
)

# What is known of a call from the answer webhook and the call events: the recording event has none of it.
calls = Table(
    "calls",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("conversation_key", Text, nullable=False, unique=True),
    Column("conversation_uuid", Text, nullable=False),
    Column("joined_key", Text),  # the conversation that the call's leg moved into
    Column("application_id", Text, nullable=False),
    Column("leg_uuid", Text),
    Column("from_number", Text),
    Column("to_number", Text),
    Column("direction", Text),
    Column("flow", String(32)),
    Column("format", String(8)),
    Column("channels", Integer),
    Column("region_url", Text),
    Column("answered_at", UtcTime),
    Column("completed_at", UtcTime),
    Column(
        "expectation", String(16)
    ),  # of a recording: expected, met, missing, aside (by a person), none; NULL where the NCCO did not record
    Column("missing_at", UtcTime),
    _known_index("joined_key", "id"),
    Index(None, "expectation"),
)

# A row stays when the raw delivery that brought it is deleted.
call_events = Table(
    "call_events",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("delivery_id", _Id, ForeignKey("deliveries.id", ondelete="SET NULL")),
    Column("received_at", UtcTime, nullable=False),
    Column("conversation_key", Text, nullable=False),
    Column("leg_uuid", Text),
    Column("kind", Text, nullable=False),
    Column("timestamp", UtcTime),
    Index(None, "conversation_key"),
    Index(None, "leg_uuid"),
    Index(None, "delivery_id"),
)

transcriptions = Table(
    "transcriptions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("delivery_id", _Id, ForeignKey("deliveries.id", ondelete="SET NULL")),
    Column("received_at", UtcTime, nullable=False),
    Column("application_id", Text, nullable=False),
    Column("recording_uuid", Text, nullable=False),
    Column("conversation_uuid", Text),
    Column("status", Text, nullable=False),
    Column("url", Text),
    Column("error", Text),
    Index(None, "recording_uuid"),
    Index(None, "delivery_id"),
)

# What was measured from the audio of a recording; see `recordings.model.Waveform`.
waveforms = Table(
    "waveforms",
    metadata,
    Column("recording_id", _Id, ForeignKey("recordings.id"), primary_key=True, autoincrement=False),
    Column("attempts", Integer, nullable=False),
    # When a worker may measure it again: the end of a lease or of a back-off. NULL: it is made, or given up.
    Column("due_at", UtcTime),
    Column("seconds", Float),
    Column("channels", Integer),
    Column("sample_rate", Integer),
    Column("points", Integer),
    Column("peaks", LargeBinary),
    Column("made_at", UtcTime),
    Column("error", Text),
    _partial("due_at", where=DUE),
)

# The workers of all hosts, by an id that each makes at its start.
workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
)

# Of what people were told: a row for each kind of trouble and each recipient. See `notices`.
notices = Table(
    "notices",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("recipient", String(64), primary_key=True),
    Column("version", Integer, nullable=False),  # grows with each change, which names the version that it found
    Column("number", Integer, nullable=False),  # that the recipient was told of; 0: all is well
    Column("since", UtcTime),
    Column("told_at", UtcTime),
    Column("fewer_since", UtcTime),  # since then there has been less trouble than the recipient was told of
    Column("busy_until", UtcTime),  # a process is sending, or waits after a failure
    Column("attempts", Integer, nullable=False),  # that failed, one after the other
)

# What programs are told of: each row was committed together with what it tells of. See `outgoing`.
outgoing_events = Table(
    "outgoing_events",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("message_id", String(64), nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("state", String(16), nullable=False),  # pending, delivered, failed
    Column("attempts", Integer, nullable=False),
    Column("token", String(64)),  # of the worker that sends it
    Column("due_at", UtcTime),  # as for copies
    Column("expires_at", UtcTime, nullable=False),
    Column("answer", Text),  # to the last attempt
    Column("delivered_at", UtcTime),
    _partial("due_at", where=DUE),
    Index(None, "created_at"),
    Index(None, "state", "id"),
)

# --- Who may ----------------------------------------------------------------------------------------------------------

accounts = Table(
    "accounts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text),  # NULL: a single sign-on proxy alone lets this person in
    Column("generation", String(64), nullable=False),  # random, new with each password: sessions name theirs
    Column("created_at", UtcTime, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the token, in hex
    Column("created_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime),
)

# Tries to sign in, by the address they came from, and all together in a row of their own.
sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("succeeded_at", UtcTime),
)

# The sessions that somebody has ended by signing out: a copy of their cookie opens nothing. See `sessions`.
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("ended_at", UtcTime, nullable=False),
    Index(None, "ended_at"),
)

# Rows are added and read; nothing here changes or deletes one. There is no foreign key: a row outlives its recording.
audit = Table(
    "audit",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("person", Text, nullable=False),
    Column("kind", String(16), nullable=False),  # how the person is known: see `Actor`
    Column("address", Text),
    Column("action", String(32), nullable=False),
    Column("recording_id", _Id),
    Column("detail", Text, nullable=False),
    Column("once", Text, unique=True),  # of a playback: what keeps two processes from noting it twice
    Index(None, "at", "id"),
    Index(None, "person", "at", "id"),
    Index(None, "recording_id", "at", "id"),
)

# Random keys that all processes share, each made at its first use.
keys = Table(
    "keys",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# What the processes of all hosts write down for one another, a row for each purpose. 1: how much there is of
# everything, see `stats`. 2: when a worker last took the turn to write the nightly list, see `turns`. 3: what the last
# look at the whole deployment found, see `examinations`, and 4: when one began that has not ended, see `turns`.
figures = Table(
    "figures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("counted_at", UtcTime, nullable=False),
    Column("document", Text, nullable=False),
)
