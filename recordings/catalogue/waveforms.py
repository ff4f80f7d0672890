"""What was measured from the audio of recordings, and which recording a worker measures next.

A row is written before the work begins, and counts the attempt: audio that kills its worker is given up, too. How
audio is measured stands in `recordings.archive`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, exists, func, not_, or_, select, update

from recordings.clock import utc_now
from recordings.model import Recording, State, Waveform

from .database import Database
from .derived import note_measured
from .listing import by_ids
from .tables import copies, recordings, waveforms

MOST_ATTEMPTS = 3
_BACK_OFF = (timedelta(minutes=15), timedelta(hours=6))  # after the first attempt, after the second
_LEASE = timedelta(minutes=30)  # longer than a worker may take for one recording
_SPAN = 1000  # rows that one look reads at the most: it takes milliseconds, however large the catalogue is
_DIED = "Its worker ended in the middle of it, at each attempt."

_HAS_STORED_COPY = exists().where(
    copies.c.recording_id == recordings.c.id,
    copies.c.state == State.STORED.value,
    copies.c.storage.in_(bindparam("storages", expanding=True)),
)
_NEWEST_WITHOUT: Select[Any] = (
    select(recordings.c.id)
    .where(recordings.c.id > bindparam("low"), recordings.c.id <= bindparam("high"))
    .where(not_(exists().where(waveforms.c.recording_id == recordings.c.id)), _HAS_STORED_COPY)
    .order_by(recordings.c.id.desc())
    .limit(1)
)
_LAST = select(func.max(recordings.c.id))
# Copies that became due long ago say nothing: perhaps no worker here can archive them.
_BECAME_DUE = exists().where(copies.c.due_at <= bindparam("now"), copies.c.due_at > bindparam("lately"))
_IS_FETCHED = exists().where(copies.c.state == State.FETCHING.value, copies.c.due_at > bindparam("now"))
_ARCHIVING = select(or_(_BECAME_DUE, _IS_FETCHED))
_LATELY = timedelta(minutes=1)
_PATIENCE = timedelta(minutes=1)  # a worker that archives without a pause measures beside it
_DUE = (
    select(*waveforms.c["recording_id", "attempts"])
    .where(waveforms.c.due_at <= bindparam("now"))
    .order_by(waveforms.c.due_at)
    .limit(1)
)
_WAVEFORM_NAMES = ("seconds", "channels", "sample_rate", "points", "peaks")


@dataclass(frozen=True, slots=True)
class WaveformClaim:
    """The right to measure one recording for half an hour. `attempts` counts this one."""

    recording_id: int
    attempts: int
    recording: Recording


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a recording's audio: its waveform, or why there is none; both None: not measured yet."""

    waveform: Waveform | None = None
    error: str | None = None


def measured(database: Database, recording_id: int) -> Measured:
    """What was measured from the audio of the recording in this row."""
    query = select(*waveforms.c[(*_WAVEFORM_NAMES, "made_at", "error")]).where(waveforms.c.recording_id == recording_id)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return Measured()
    if row.made_at is None:
        return Measured(error=row.error)
    return Measured(Waveform(**{name: row._mapping[name] for name in _WAVEFORM_NAMES}))


class Waveforms:
    """The waveforms of one database, for one thread that makes them. Raises `CatalogueUnavailable` as it does.

    Recordings that lack a waveform are found by looking at 1000 rows at a time: at the newest, and at a stretch that
    moves towards the oldest and then begins anew. So no look is long, and archiving pays nothing for it.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now, span: int = _SPAN) -> None:
        self.database = database
        self._clock = clock
        self._span = span
        self._archiving_since: datetime | None = None
        self._below = 0  # the upper end of the moving stretch; 0: it begins at the newest row

    def take(self, storages: Collection[str]) -> WaveformClaim | None:
        """Claim a recording that has a stored copy in one of these storages; None: this look found none.

        It is the newest that was never measured, else one whose next attempt is due. While copies are being archived
        there is none, for a minute at most: archiving comes first.
        """
        now = self._clock()
        with self.database.read() as connection:
            if self._gives_way(connection, now):
                return None
            recording_id = self._newest(connection, list(storages))
            due = None if recording_id else connection.execute(_DUE, {"now": now}).first()
        if recording_id is not None:
            return self._claim(recording_id, 1) if self._began(recording_id) else None
        if due is None or not self._began_again(due.recording_id, due.attempts):
            return None
        return self._claim(due.recording_id, due.attempts + 1)

    def made(self, claim: WaveformClaim, waveform: Waveform) -> None:
        """The recording was measured."""
        values = {name: getattr(waveform, name) for name in _WAVEFORM_NAMES}
        mine = and_(waveforms.c.recording_id == claim.recording_id, waveforms.c.attempts == claim.attempts)
        values |= {"made_at": self._clock(), "error": None, "due_at": None}
        with self.database.write() as connection:
            statement = update(waveforms).where(mine, waveforms.c.due_at.is_not(None)).values(values)
            if connection.execute(statement).rowcount:
                note_measured(connection, claim.recording_id, seconds=waveform.seconds, channels=waveform.channels)

    def failed(self, claim: WaveformClaim, reason: str, *, final: bool = False) -> bool:
        """The attempt failed. Returns whether there will be another one; after the third, or `final`, there is none."""
        again = not final and claim.attempts < MOST_ATTEMPTS
        self._end(claim, error=reason, due_at=self._clock() + _BACK_OFF[claim.attempts - 1] if again else None)
        return again

    def give_back(self, claim: WaveformClaim) -> None:
        """The attempt was broken off because the process ends: it does not count."""
        self._end(claim, attempts=claim.attempts - 1, due_at=self._clock())

    # --- Finding -----------------------------------------------------------------------------------------------------

    def _gives_way(self, connection: Connection, now: datetime) -> bool:
        if not connection.execute(_ARCHIVING, {"now": now, "lately": now - _LATELY}).scalar_one():
            self._archiving_since = None
            return False
        self._archiving_since = self._archiving_since or now
        return now - self._archiving_since < _PATIENCE

    def _newest(self, connection: Connection, storages: list[str]) -> int | None:
        last = connection.execute(_LAST).scalar() or 0
        self._below = self._below or last
        for high in (last, self._below):
            params = {"low": high - self._span, "high": high, "storages": storages}
            recording_id: int | None = connection.execute(_NEWEST_WITHOUT, params).scalar()
            if recording_id is not None:
                return recording_id
        self._below = max(0, self._below - self._span)
        return None

    # --- Claiming ----------------------------------------------------------------------------------------------------

    def _began(self, recording_id: int) -> bool:
        """Write the row of a first attempt; False: another worker was quicker."""
        row = {"recording_id": recording_id, "attempts": 1, "due_at": self._clock() + _LEASE}
        statement = self.database.insert(waveforms).values(row).on_conflict_do_nothing()
        with self.database.write() as connection:
            return connection.execute(statement.returning(waveforms.c.recording_id)).first() is not None

    def _began_again(self, recording_id: int, attempts: int) -> bool:
        """Count one more attempt; False: another worker was quicker, or the last attempt killed its worker."""
        died = attempts >= MOST_ATTEMPTS
        values = {"error": _DIED, "due_at": None} if died else {"due_at": self._clock() + _LEASE}
        mine = and_(
            waveforms.c.recording_id == recording_id,
            waveforms.c.attempts == attempts,
            waveforms.c.due_at <= self._clock(),
        )
        statement = update(waveforms).where(mine).values(values | ({} if died else {"attempts": attempts + 1}))
        with self.database.write() as connection:
            return connection.execute(statement).rowcount == 1 and not died

    def _claim(self, recording_id: int, attempts: int) -> WaveformClaim:
        with self.database.read() as connection:
            return WaveformClaim(recording_id, attempts, by_ids(connection, [recording_id])[recording_id])

    def _end(self, claim: WaveformClaim, **values: Any) -> None:
        """Write an outcome, unless another worker has taken the recording over."""
        mine = and_(waveforms.c.recording_id == claim.recording_id, waveforms.c.attempts == claim.attempts)
        with self.database.write() as connection:
            connection.execute(update(waveforms).where(mine, waveforms.c.due_at.is_not(None)).values(values))
