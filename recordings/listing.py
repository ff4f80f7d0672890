"""Looking up: recordings as people and plugins see them, joined to what is known of their call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, or_, select

from .database import Database
from .model import Copy, Recording, State, conversation_key, worst
from .tables import call_events, calls, copies, recordings, transcriptions

_PAGE = 500


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


# Made once: making a statement costs more than running it, and each archived copy needs all of these.
_BY_UUID = _RECORDINGS.where(recordings.c.recording_uuid == bindparam("uuid")).order_by(recordings.c.id)
_BY_IDS = _RECORDINGS.where(recordings.c.id.in_(bindparam("row_ids", expanding=True)))
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_CALLS = (
    select(calls).where(or_(calls.c.conversation_key.in_(_KEYS), calls.c.joined_key.in_(_KEYS))).order_by(calls.c.id)
)
_COPIES = select(copies).where(copies.c.recording_id.in_(bindparam("ids", expanding=True))).order_by(copies.c.id)


def find(database: Database, recording_uuid: str) -> list[Recording]:
    """The recordings with this uuid: none, one, or several where applications share the catalogue."""
    with database.read() as connection:
        return _with_copies(connection, connection.execute(_BY_UUID, {"uuid": recording_uuid}).all())


def by_ids(connection: Connection, recording_ids: Collection[int]) -> dict[int, Recording]:
    """The recordings in these rows, by row, read within the caller's transaction."""
    rows = connection.execute(_BY_IDS, {"row_ids": list(recording_ids)}).all()
    return dict(zip((row.id for row in rows), _with_copies(connection, rows), strict=True))


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


def _with_copies(connection: Connection, rows: Sequence[Row[Any]]) -> list[Recording]:
    theirs: dict[int, list[Copy]] = defaultdict(list)
    wanted = [row.id for row in rows]
    for row in connection.execute(_COPIES, {"ids": wanted}):
        theirs[row.recording_id].append(_copy(row))
    told = _calls(connection, {row.conversation_key for row in rows})
    return [_recording(row, told.get(row.conversation_key), theirs[row.id]) for row in rows]


def _calls(connection: Connection, keys: set[str]) -> dict[str, Row[Any]]:
    """The call behind each conversation: its own, else the first that moved into it.

    The legs of a named conversation ask the answer webhook under a conversation of their own and are then moved.
    """
    found: dict[str, Row[Any]] = {}
    for row in connection.execute(_CALLS, {"keys": list(keys)}):
        if row.joined_key in keys:
            found.setdefault(row.joined_key, row)
        if row.conversation_key in keys and (row.leg_uuid or row.conversation_key not in found):
            found[row.conversation_key] = row
    return found


def _recording(row: Row[Any], call: Row[Any] | None, its_copies: list[Copy]) -> Recording:
    words = {name: value for name, value in row._mapping.items() if name not in ("id", "conversation_key")}
    if call is not None:
        words |= {"from_": call.from_number, "to": call.to_number}
        words |= {"direction": call.direction, "region_url": call.region_url}
        words["flow"] = row.flow or call.flow
        # What the answer told is surer than what the flow's name implies: the setting may have changed since.
        words |= {"format": call.format or row.format, "channels": call.channels or row.channels}
    return Recording(**words, state=worst([copy.state for copy in its_copies]), copies=tuple(its_copies))


def _copy(row: Row[Any]) -> Copy:
    state = State(row.state)
    return Copy(
        storage=row.storage,
        key=row.key,
        state=state,
        size=row.size,
        sha256=row.sha256,
        content_type=row.content_type,
        attempts=row.attempts,
        error=row.error,
        stored_at=row.stored_at,
        next_attempt_at=row.held_until if state in (State.WAITING, State.BLOCKED) else None,
    )
