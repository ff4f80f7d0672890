"""What needs a person's hand now, in numbers: blocked, failed, missing, close to deletion, and that nobody archives.

Each number stops at `MOST`, so that counting stays quick. Nothing is written here; who is told of it stands in
`notices`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select

from recordings.clock import utc_now
from recordings.model import State

from .database import Database
from .missing import MissingCalls
from .piles import MOST
from .schedule import Schedule
from .tables import copies, recordings
from .workers import Workers

# Vonage deletes a recording 30 days after it was made, so it can be helped until then.
# https://developer.vonage.com/en/voice/voice-api/guides/recording
_KEPT = timedelta(days=30)
_NEAR = timedelta(days=3)
# A worker starts within a minute of a deployment's start, and shows itself within a minute.
_IDLE_SECONDS = 300.0

_OPEN = [state.value for state in State if state not in (State.STORED, State.EMPTY)]
_ended_at = func.coalesce(recordings.c.end_time, recordings.c.start_time, recordings.c.received_at)
_FIRST = (
    select(recordings.c.id, _ended_at.label("ended_at"))
    .where(recordings.c.state == bindparam("state"), recordings.c.received_at > bindparam("since"))
    .where(_ended_at > bindparam("since"))
    .order_by(recordings.c.received_at, recordings.c.id)
    .limit(1)
)


class Trouble(StrEnum):
    """The kinds of trouble, the most urgent one first."""

    IDLE = "idle"
    NEARING = "nearing"
    BLOCKED = "blocked"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Deletion:
    """The row of a recording of which a copy is not stored, and when Vonage deletes it."""

    row_id: int
    at: datetime


class Troubles:
    """Counts the troubles of one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock
        self._missing = MissingCalls(database, clock=clock)
        self._schedule = Schedule(database, clock=clock)
        self._workers = Workers(database, clock=clock)

    def count(self) -> dict[Trouble, int]:
        """How many copies, or calls, are in each kind of trouble now."""
        now = self._clock()
        with self.database.read() as connection:
            numbers = {
                Trouble.NEARING: _count(connection, _nearing(now)),
                Trouble.BLOCKED: _count(connection, copies.c.state == State.BLOCKED.value),
                Trouble.FAILED: _count(connection, copies.c.state == State.FAILED.value),
            }
        missing = min(MOST, self._missing.count(since=now - _KEPT))
        return {Trouble.IDLE: self._idle(), **numbers, Trouble.MISSING: missing}

    def next_deletion(self) -> Deletion | None:
        """Of the recordings with a copy that is not stored, the one that Vonage deletes next; None: all are stored.

        Of each state only the recording that was announced first is looked at: an index gives it at once. Vonage
        announces a recording when it ends, so it is the one that ended first.
        """
        since = self._clock() - _KEPT
        with self.database.read() as connection:
            rows = [connection.execute(_FIRST, {"state": state, "since": since}).first() for state in _OPEN]
        return min(
            (Deletion(row.id, row.ended_at + _KEPT) for row in rows if row), key=lambda row: row.at, default=None
        )

    def _idle(self) -> int:
        """The copies that wait while no worker lives."""
        number, seconds = self._schedule.overdue()
        return min(MOST, number) if seconds >= _IDLE_SECONDS and not self._workers.living() else 0


def _nearing(now: datetime) -> ColumnElement[bool]:
    """Not stored, and Vonage deletes the recording in less than three days."""
    soon = and_(_ended_at <= now - _KEPT + _NEAR, _ended_at > now - _KEPT)
    its_recording = select(recordings.c.id).where(recordings.c.id == copies.c.recording_id, soon)
    return and_(copies.c.state.in_(_OPEN), its_recording.exists())


def _count(connection: Connection, condition: ColumnElement[bool]) -> int:
    some = select(copies.c.id).where(condition).limit(MOST).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()
