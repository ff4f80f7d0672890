"""Looking up: recordings as people and plugins see them, joined to what is known of their call.

Here a recording is asked for by its id. Choosing recordings by a filter is in `search`.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select

from recordings.model import CallBehind, Copy, Recording, State, conversation_key, worst

from .database import Database
from .derived import call_behind
from .identity import has_uuid
from .tables import call_events, calls, copies, recordings, transcriptions

_OWN = recordings.c[
    "id",
    "application_id",
    "recording_uuid",
    "conversation_uuid",
    "conversation_key",
    "recording_url",
    "size",
    "start_time",
    "end_time",
    "timestamp",
    "received_at",
    "origin",
    "flow",
    "format",
    "channels",
]
_NAMES, _COPY_NAMES, _CALL_NAMES = ([column.name for column in part] for part in (_OWN, copies.c, calls.c))
_CALL_FACTS = [item.name for item in dataclasses.fields(CallBehind)]
_COPY, _CALL = len(_NAMES), len(_NAMES) + len(_COPY_NAMES)  # where their columns begin in a row


# Recordings with their copies, a row for each, and with the call behind them.
_WHOLE: Select[Any] = (
    select(
        *_OWN,
        *(column.label(f"copy_{column.name}") for column in copies.c),
        *(column.label(f"call_{column.name}") for column in calls.c),
    )
    .outerjoin(copies, copies.c.recording_id == recordings.c.id)
    .outerjoin(calls, calls.c.id == call_behind())
    .order_by(recordings.c.id, copies.c.id)
)

# Made once: making a statement costs more than running it, and each archived copy needs the first.
_BY_IDS = _WHOLE.where(recordings.c.id.in_(bindparam("row_ids", expanding=True)))
_BY_UUID = _WHOLE.where(has_uuid(bindparam("uuid")))


def find(database: Database, recording_uuid: str) -> list[Recording]:
    """The recordings with this uuid: none, one, or several where applications share the catalogue."""
    with database.read() as connection:
        return list(_read(connection, _BY_UUID, uuid=recording_uuid).values())


def by_ids(connection: Connection, recording_ids: Collection[int]) -> dict[int, Recording]:
    """The recordings in these rows, by row, read within the caller's transaction."""
    return _read(connection, _BY_IDS, row_ids=list(recording_ids))


def by_id(database: Database, recording_id: int) -> Recording:
    """The recording in this row, which exists."""
    with database.read() as connection:
        return by_ids(connection, [recording_id])[recording_id]


def last_row(database: Database, recording_uuid: str) -> int | None:
    """The row of the recording with this uuid, the last one where applications share the catalogue; None: unknown."""
    query = select(func.max(recordings.c.id)).where(has_uuid(recording_uuid))
    with database.read() as connection:
        return connection.execute(query).scalar()


def has_url_ending(database: Database, ending: str, since: datetime | None) -> bool:
    """Whether a recording that was announced after `since` has a URL with this ending. A URL has no index."""
    query = select(recordings.c.id).where(recordings.c.recording_url.endswith(ending, autoescape=True))
    if since is not None:
        query = query.where(recordings.c.received_at >= since)
    with database.read() as connection:
        return connection.execute(query.limit(1)).first() is not None


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


def _read(connection: Connection, query: Select[Any], **params: Any) -> dict[int, Recording]:
    """The recordings that a query of `_WHOLE` gives, by row, oldest first."""
    rows: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query, params):
        rows[row.id].append(row)
    return {recording_id: _recording(its_rows) for recording_id, its_rows in rows.items()}


def _recording(rows: Sequence[Row[Any]]) -> Recording:
    """The recording that all these rows of `_WHOLE` are about: a row for each of its copies."""
    first = rows[0]
    fields = dict(zip(_NAMES, first[:_COPY], strict=True))
    del fields["id"], fields["conversation_key"]
    if first[_CALL] is not None:
        call = dict(zip(_CALL_NAMES, first[_CALL:], strict=True))
        fields |= {"from_": call["from_number"], "to": call["to_number"]}
        fields |= {"direction": call["direction"], "region_url": call["region_url"]}
        fields["flow"] = first.flow or call["flow"]
        # What the answer said is surer than what the flow's name implies: the setting may have changed since.
        fields |= {"format": call["format"] or first.format, "channels": call["channels"] or first.channels}
        fields["call"] = CallBehind(**{name: call[name] for name in _CALL_FACTS})
    its_copies = tuple(_copy(row[_COPY:_CALL]) for row in rows if row[_COPY] is not None)
    return Recording(**fields, state=worst([copy.state for copy in its_copies]), copies=its_copies)


def _copy(columns: Sequence[Any]) -> Copy:
    row = dict(zip(_COPY_NAMES, columns, strict=True))
    state = State(row["state"])
    names = ("storage", "key", "size", "sha256", "content_type", "attempts", "error", "stored_at")
    next_attempt = row["due_at"] if state in (State.WAITING, State.BLOCKED) else None
    return Copy(**{name: row[name] for name in names}, state=state, next_attempt_at=next_attempt)
