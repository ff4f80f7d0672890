"""Events that programs are told of: written in the transaction that makes them true, kept, claimed, and replayed.

The table is an outbox. An event is there exactly if what it tells of was committed, and stays there until a program has
taken it or it is given up. How an event is sent stands in `recordings.care.programs`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, or_, select, update

from recordings.clock import iso_utc, utc_now
from recordings.errors import TapekeeperError
from recordings.masking import masked
from recordings.model import Call, State

from .as_json import as_json_object, copy_as_json_object
from .database import Database
from .listing import by_ids
from .tables import copies, outgoing_events

GIVEN_UP_AFTER = timedelta(days=5)  # counted from the event, or from its last replay
_LEASE = timedelta(seconds=120)
_PAGE = 500

_TYPES = {State.STORED: "recording.stored", State.FAILED: "recording.failed"}
_INSERT = insert(outgoing_events)
_DUE = (
    select(outgoing_events.c.id)
    .where(outgoing_events.c.due_at <= bindparam("now"))
    .order_by(outgoing_events.c.due_at)
    .limit(1)
)
_CLAIM = (
    update(outgoing_events)
    .where(outgoing_events.c.id == bindparam("row_id"), outgoing_events.c.due_at <= bindparam("now"))
    .values(token=bindparam("new_token"), due_at=bindparam("until"), attempts=outgoing_events.c.attempts + 1)
    .returning(*outgoing_events.c)
)


class Progress(StrEnum):
    """How far an event has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class UnknownEvent(TapekeeperError):
    """There is no event with this number."""

    retryable = False


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event as it is kept. `message_id` and `body` are the same at each attempt; `answer` is that to the last one.

    `subject` is the uuid of the recording, or of the conversation of a call.
    """

    id: int
    message_id: str
    type: str
    subject: str
    body: str
    created_at: datetime
    state: Progress
    attempts: int
    token: str | None
    due_at: datetime | None
    expires_at: datetime
    answer: str | None
    delivered_at: datetime | None


class OutgoingEvents:
    """The events in one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self.database = database
        self._clock = clock
        self._new_id = new_id

    # --- Within the transaction of somebody else ---------------------------------------------------------------------

    def note_copies(self, connection: Connection, copy_ids: Collection[int]) -> None:
        """These copies are stored, or have failed, once this transaction is committed."""
        if not copy_ids:
            return
        query = select(*copies.c["recording_id", "storage"]).where(copies.c.id.in_(copy_ids)).order_by(copies.c.id)
        ended = connection.execute(query).all()
        recordings = by_ids(connection, {row.recording_id for row in ended})
        events = []
        for row in ended:
            recording = recordings[row.recording_id]
            copy = next(copy for copy in recording.copies if copy.storage == row.storage)
            data = {"recording": as_json_object(recording), "copy": copy_as_json_object(copy)}
            for shown in (data["copy"], *data["recording"]["copies"]):
                shown["error"] = shown["error"] and masked(shown["error"])
            events.append(self._row(_TYPES[copy.state], recording.recording_uuid, data))
        _add(connection, events)

    def note_missing(self, connection: Connection, calls: Iterable[Call]) -> None:
        """The recordings of these calls are missing, once this transaction is committed."""
        rows = [self._row("call.missing", call.conversation_uuid or "", {"call": dict(call.params)}) for call in calls]
        _add(connection, rows)

    def _row(self, kind: str, subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
        now = self._clock()
        return {
            "message_id": f"msg_{self._new_id()}",
            "type": kind,
            "subject": subject,
            "body": render(kind, now, data),
            "created_at": now,
            "state": Progress.PENDING.value,
            "attempts": 0,
            "due_at": now,
            "expires_at": now + GIVEN_UP_AFTER,
        }

    # --- Sending -----------------------------------------------------------------------------------------------------

    def claim_next(self) -> OutgoingEvent | None:
        """Take the event that has been due for the longest time, for two minutes; None: none is due."""
        now = self._clock()
        with self.database.read() as connection:
            row_id = connection.execute(_DUE, {"now": now}).scalar()
        if row_id is None:
            return None
        params = {"row_id": row_id, "now": now, "until": now + _LEASE, "new_token": self._new_id()}
        with self.database.write() as connection:
            row = connection.execute(_CLAIM, params).first()
        return _event(row) if row else None

    def delivered(self, event: OutgoingEvent, answer: str) -> None:
        """A program has taken the event."""
        done = {"state": Progress.DELIVERED.value, "due_at": None, "delivered_at": self._clock()}
        self._end(event, answer=answer, **done)

    def retry_later(self, event: OutgoingEvent, answer: str, delay: float) -> bool:
        """Another attempt after `delay` seconds. False: that would be too late, so the event is given up."""
        then = self._clock() + timedelta(seconds=delay)
        if then >= event.expires_at:
            self.failed(event, answer)
            return False
        self._end(event, answer=answer, due_at=then)
        return True

    def failed(self, event: OutgoingEvent, answer: str) -> None:
        """No further attempt, unless a person replays the event."""
        self._end(event, answer=answer, state=Progress.FAILED.value, due_at=None)

    def _end(self, event: OutgoingEvent, **values: Any) -> None:
        """Nothing is written where another worker has taken the event over."""
        mine = and_(outgoing_events.c.id == event.id, outgoing_events.c.token == event.token)
        with self.database.write() as connection:
            connection.execute(update(outgoing_events).where(mine).values(values | {"token": None}))

    # --- For people --------------------------------------------------------------------------------------------------

    def listing(self, *, state: Progress | None = None) -> Iterator[OutgoingEvent]:
        """Every event that is kept, oldest first, in pages."""
        query = select(outgoing_events).order_by(outgoing_events.c.id).limit(_PAGE)
        if state is not None:
            query = query.where(outgoing_events.c.state == state.value)
        last = 0
        while True:
            with self.database.read() as connection:
                rows = connection.execute(query.where(outgoing_events.c.id > last)).all()
            yield from map(_event, rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1].id

    def replay(self, event_id: int) -> OutgoingEvent:
        """Send this event once more, under the same message id, for another five days. Raises `UnknownEvent`."""
        now = self._clock()
        values = {"state": Progress.PENDING.value, "attempts": 0, "token": None, "due_at": now}
        statement = update(outgoing_events).where(outgoing_events.c.id == event_id)
        statement = statement.values(values | {"expires_at": now + GIVEN_UP_AFTER}).returning(*outgoing_events.c)
        with self.database.write() as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise UnknownEvent(f"There is no event {event_id}. See: flask notify list")
        return _event(row)

    def prune(self, days: int) -> None:
        """Forget the events that came more than `days` days ago and that are not to be sent any more."""
        now = self._clock()
        old = outgoing_events.c.created_at < now - timedelta(days=days)
        # Where no program is to be told any more, nobody gives a pending event up.
        over = or_(outgoing_events.c.state != Progress.PENDING.value, outgoing_events.c.expires_at < now)
        with self.database.read() as connection:
            if connection.execute(select(outgoing_events.c.id).where(old, over).limit(1)).first() is None:
                return
        with self.database.write() as connection:
            connection.execute(delete(outgoing_events).where(old, over))


def render(kind: str, moment: datetime, data: Mapping[str, Any]) -> str:
    """The body of an event: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    return json.dumps({"type": kind, "timestamp": iso_utc(moment), "data": data}, ensure_ascii=False)


def _add(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_INSERT, rows)


def _event(row: Any) -> OutgoingEvent:
    return OutgoingEvent(**{**row._mapping, "state": Progress(row.state)})
