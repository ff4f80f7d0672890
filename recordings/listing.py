"""Looking up: recordings as people and plugins see them, joined to what is known of their call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, or_, select

from .database import Database
from .model import Copy, Recording, State, conversation_key, worst
from .tables import call_events, calls, copies, recordings, transcriptions

_PAGE = 500

_Words = Mapping[Any, Any]  # the columns of one row, by name


_RECORDINGS: Select[Any] = select(
    *recordings.c[
        "id",
        "application_id",
        "recording_uuid",
        "conversation_uuid",
        "conversation_key",
        "recording_url",
        "size",
        "start_time",
        "end_time",
        "received_at",
        "origin",
        "flow",
        "format",
        "channels",
    ]
)


_NAMES = tuple(_RECORDINGS.selected_columns.keys())

# Made once: making a statement costs more than running it, and each archived copy needs all of these.
_BY_UUID = _RECORDINGS.where(recordings.c.recording_uuid == bindparam("uuid")).order_by(recordings.c.id)
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_CALLS = (
    select(calls).where(or_(calls.c.conversation_key.in_(_KEYS), calls.c.joined_key.in_(_KEYS))).order_by(calls.c.id)
)
_COPIES = select(copies).where(copies.c.recording_id.in_(bindparam("ids", expanding=True))).order_by(copies.c.id)

# All three at once, for a few recordings: a row for each copy and each call.
_ITS_CALLS = or_(
    calls.c.conversation_key == recordings.c.conversation_key, calls.c.joined_key == recordings.c.conversation_key
)
_WITH_ALL: Select[Any] = (
    select(
        *_RECORDINGS.selected_columns,
        *(column.label(f"copy_{column.name}") for column in copies.c),
        *(column.label(f"call_{column.name}") for column in calls.c),
    )
    .outerjoin(copies, copies.c.recording_id == recordings.c.id)
    .outerjoin(calls, _ITS_CALLS)
    .where(recordings.c.id.in_(bindparam("row_ids", expanding=True)))
    .order_by(copies.c.id, calls.c.id)
)


def find(database: Database, recording_uuid: str) -> list[Recording]:
    """The recordings with this uuid: none, one, or several where applications share the catalogue."""
    with database.read() as connection:
        return _with_copies(connection, connection.execute(_BY_UUID, {"uuid": recording_uuid}).all())


def by_ids(connection: Connection, recording_ids: Collection[int]) -> dict[int, Recording]:
    """The recordings in these rows, by row, read within the caller's transaction."""
    rows: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(_WITH_ALL, {"row_ids": list(recording_ids)}):
        rows[row.id].append(row)
    return {recording_id: _joined(its) for recording_id, its in rows.items()}


def listing(database: Database, *, state: State | None = None) -> Iterator[Recording]:
    """Every recording, oldest first, read in pages: memory does not grow with the catalogue."""
    last = 0
    while True:
        query = _RECORDINGS.where(recordings.c.id > last).order_by(recordings.c.id).limit(_PAGE)
        with database.read() as connection:
            rows = connection.execute(query).all()
            page = _with_copies(connection, rows)
        yield from (recording for recording in page if state in (None, recording.state))
        if len(rows) < _PAGE:
            return
        last = rows[-1].id


def call_history(database: Database, recording: Recording) -> list[dict[str, Any]]:
    """The call events of the recording's conversation: kind, leg_uuid, timestamp, received_at; oldest first."""
    key = conversation_key(recording.conversation_uuid)
    query = (
        select(*call_events.c["kind", "leg_uuid", "timestamp", "received_at"])
        .where(call_events.c.conversation_key == key)
        .order_by(call_events.c.id)
    )
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def transcripts(database: Database, recording: Recording) -> list[dict[str, Any]]:
    """The transcription events of this recording: status, url, error, received_at; oldest first."""
    query = (
        select(*transcriptions.c["status", "url", "error", "received_at"])
        .where(transcriptions.c.recording_uuid == recording.recording_uuid)
        .where(transcriptions.c.application_id == recording.application_id)
        .order_by(transcriptions.c.id)
    )
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def _joined(rows: Sequence[Row[Any]]) -> Recording:
    """The recording that all these rows of `_WITH_ALL` are about."""
    theirs = {row.copy_id: _copy(_part(row, "copy_")) for row in rows if row.copy_id is not None}
    told = {row.call_id: _part(row, "call_") for row in rows if row.call_id is not None}
    key = rows[0].conversation_key
    words = {name: rows[0]._mapping[name] for name in _NAMES}
    return _recording(words, _calls(told.values(), {key}).get(key), list(theirs.values()))


def _part(row: Row[Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: value for name, value in row._mapping.items() if name.startswith(prefix)}


def _with_copies(connection: Connection, rows: Sequence[Row[Any]]) -> list[Recording]:
    theirs: dict[int, list[Copy]] = defaultdict(list)
    for row in connection.execute(_COPIES, {"ids": [row.id for row in rows]}):
        theirs[row.recording_id].append(_copy(row._mapping))
    keys = {row.conversation_key for row in rows}
    told = _calls((row._mapping for row in connection.execute(_CALLS, {"keys": list(keys)})), keys)
    return [_recording(row._mapping, told.get(row.conversation_key), theirs[row.id]) for row in rows]


def _calls(told: Iterable[_Words], keys: set[str]) -> dict[str, _Words]:
    """The call behind each conversation: its own, else the first that moved into it.

    The legs of a named conversation ask the answer webhook under a conversation of their own and are then moved.
    """
    found: dict[str, _Words] = {}
    for call in told:
        own, joined = call["conversation_key"], call["joined_key"]
        if joined in keys:
            found.setdefault(joined, call)
        if own in keys and (call["leg_uuid"] or own not in found):
            found[own] = call
    return found


def _recording(row: _Words, call: _Words | None, its_copies: list[Copy]) -> Recording:
    words = {name: value for name, value in row.items() if name not in ("id", "conversation_key")}
    if call is not None:
        words |= {"from_": call["from_number"], "to": call["to_number"]}
        words |= {"direction": call["direction"], "region_url": call["region_url"]}
        words["flow"] = row["flow"] or call["flow"]
        # What the answer told is surer than what the flow's name implies: the setting may have changed since.
        words |= {"format": call["format"] or row["format"], "channels": call["channels"] or row["channels"]}
    return Recording(**words, state=worst([copy.state for copy in its_copies]), copies=tuple(its_copies))


def _copy(row: _Words) -> Copy:
    state = State(row["state"])
    names = ("storage", "key", "size", "sha256", "content_type", "attempts", "error", "stored_at")
    later = row["held_until"] if state in (State.WAITING, State.BLOCKED) else None
    return Copy(**{name: row[name] for name in names}, state=state, next_attempt_at=later)
