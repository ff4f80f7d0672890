"""The whole catalogue as lines, for the list that lies in the stores.

It is read in pages: no transaction is open while a store takes the lines in, and memory does not grow with the
catalogue. Where the list lies is decided in `recordings.care.nightly`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select

from recordings.model import Recording

from .as_json import as_json_object, plain
from .attempts import FailedAttempt, attempts_by_row
from .database import Database
from .listing import by_ids
from .tables import calls, recordings

_PAGE = 200


def announced_before(database: Database, moment: datetime) -> bool:
    """Whether any recording was announced before this moment."""
    with database.read() as connection:
        query = select(recordings.c.id).where(recordings.c.received_at < moment).limit(1)
        return connection.execute(query).first() is not None


def whole_catalogue(database: Database) -> Iterator[dict[str, Any]]:
    """Each recording and each call, as what can be given to `json.dumps`: `{"recording": …}` or `{"call": …}`."""
    for recording, failures in _recordings(database):
        own = {"recording_url": recording.recording_url, "timestamp": plain(recording.timestamp)}
        own["failed_attempts"] = [attempt.as_json_object() for attempt in failures]
        yield {"recording": as_json_object(recording) | own}
    for call in _calls(database):
        yield {"call": plain(call)}


def _recordings(database: Database) -> Iterator[tuple[Recording, list[FailedAttempt]]]:
    last = 0
    while True:
        query = select(recordings.c.id).where(recordings.c.id > last).order_by(recordings.c.id).limit(_PAGE)
        with database.read() as connection:
            ids = connection.scalars(query).all()
            page, failures = by_ids(connection, ids), attempts_by_row(connection, ids)
        yield from ((recording, failures.get(row_id, [])) for row_id, recording in page.items())
        if len(ids) < _PAGE:
            return
        last = ids[-1]


def _calls(database: Database) -> Iterator[dict[str, Any]]:
    columns = [column for column in calls.c if column.name not in ("id", "conversation_key")]
    last = 0
    while True:
        query = select(calls.c.id, *columns).where(calls.c.id > last).order_by(calls.c.id).limit(_PAGE)
        with database.read() as connection:
            rows = connection.execute(query).all()
        yield from ({column.name: row._mapping[column.name] for column in columns} for row in rows)
        if len(rows) < _PAGE:
            return
        last = rows[-1].id
