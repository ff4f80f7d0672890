"""Looking up: recordings as people and plugins see them, joined to what is known of their call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, or_, select

from .database import Database
from .model import Copy, Recording, State, conversation_key, worst
from .tables import call_events, calls, copies, deliveries, recordings, transcriptions

_PAGE = 500


def _its_call() -> Any:
    """The row of the call that a recording belongs to: its own conversation's, else the first that moved into it."""
    own = case((calls.c.conversation_key == recordings.c.conversation_key, 0), else_=1)
    return (
        select(calls.c.id)
        .where(
            or_(
                calls.c.conversation_key == recordings.c.conversation_key,
                calls.c.joined_key == recordings.c.conversation_key,
            )
        )
        .order_by(case((calls.c.leg_uuid.is_(None), 1), else_=0), own, calls.c.id)
        .limit(1)
        .scalar_subquery()
        .correlate(recordings)
    )


_RECORDINGS: Select[Any] = select(
    *recordings.c[
        "id",
        "application_id",
        "recording_uuid",
        "conversation_uuid",
        "recording_url",
        "size",
        "start_time",
        "end_time",
        "received_at",
        "origin",
    ],
    func.coalesce(recordings.c.flow, calls.c.flow).label("flow"),
    func.coalesce(calls.c.format, recordings.c.format).label("format"),
    func.coalesce(calls.c.channels, recordings.c.channels).label("channels"),
    calls.c.from_number.label("from_"),
    calls.c.to_number.label("to"),
    calls.c.direction,
    calls.c.region_url,
).join_from(recordings, calls, calls.c.id == _its_call(), isouter=True)


def find(database: Database, recording_uuid: str) -> list[Recording]:
    """The recordings with this uuid: none, one, or several where applications share the catalogue."""
    with database.read() as connection:
        return _made(connection, _RECORDINGS.where(recordings.c.recording_uuid == recording_uuid))


def by_id(connection: Connection, recording_id: int) -> Recording:
    """The recording in this row, read within the caller's transaction."""
    return _made(connection, _RECORDINGS.where(recordings.c.id == recording_id))[0]


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
        select(*call_events.c["kind", "leg_uuid", "timestamp"], deliveries.c.received_at)
        .join_from(call_events, deliveries, deliveries.c.id == call_events.c.delivery_id)
        .where(call_events.c.conversation_key == key)
        .order_by(call_events.c.id)
    )
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def transcripts(database: Database, recording: Recording) -> list[dict[str, Any]]:
    """The transcription events of this recording: status, url, error, received_at; oldest first."""
    query = (
        select(*transcriptions.c["status", "url", "error"], deliveries.c.received_at)
        .join_from(transcriptions, deliveries, deliveries.c.id == transcriptions.c.delivery_id)
        .where(transcriptions.c.recording_uuid == recording.recording_uuid)
        .where(transcriptions.c.application_id == recording.application_id)
        .order_by(transcriptions.c.id)
    )
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def _made(connection: Connection, query: Select[Any]) -> list[Recording]:
    return _with_copies(connection, connection.execute(query.order_by(recordings.c.id)).all())


def _with_copies(connection: Connection, rows: Sequence[Row[Any]]) -> list[Recording]:
    theirs: dict[int, list[Copy]] = defaultdict(list)
    wanted = [row.id for row in rows]
    for row in connection.execute(select(copies).where(copies.c.recording_id.in_(wanted)).order_by(copies.c.id)):
        theirs[row.recording_id].append(_copy(row))
    return [_recording(row, theirs[row.id]) for row in rows]


def _recording(row: Row[Any], its_copies: list[Copy]) -> Recording:
    words = {name: value for name, value in row._mapping.items() if name != "id"}
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
