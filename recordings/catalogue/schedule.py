"""When copies become due: because a person asks for it, after a back-off, or after a worker died.

How a worker then claims a copy that is due is in `leases`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select, update

from recordings.clock import utc_now
from recordings.model import State
from recordings.timeouts import Deadline

from .attempts import note_failure
from .database import Database
from .derived import follow_copies
from .identity import has_uuid
from .leases import DEATHS_TOLERATED, claimable
from .tables import copies, recordings

_IDLE = [state.value for state in (State.FAILED, State.BLOCKED, State.WAITING, State.PENDING)]
_AT_ONCE = 500  # copies in one transaction, because new events wait while one is written
_NOT_BY_ITSELF = (State.STORED.value, State.FAILED.value)


class Schedule:
    """The due times of the copies in one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock

    def due(self, most: int, without: Collection[str] = ()) -> tuple[int, float | None]:
        """How many copies are due, counted up to `most`, and the seconds until the next one is; None: there is none.

        Copies in the storages `without` do not count.
        """
        now = self._clock()
        query = select(copies.c.due_at).where(copies.c.due_at.is_not(None), copies.c.storage.not_in(without))
        with self.database.read() as connection:
            times = connection.scalars(query.order_by(copies.c.due_at).limit(most)).all()
        later = [(time - now).total_seconds() for time in times if time > now]
        return len(times) - len(later), later[0] if later else None

    def overdue(self, deadline: Deadline | None = None) -> tuple[int, float]:
        """How many copies a worker could claim now, and for how many seconds the oldest of them has been waiting."""
        now = self._clock()
        # ORDER BY and not min(): the result of min() has no column type, and SQLite would give text.
        oldest = select(copies.c.due_at).where(claimable()).order_by(copies.c.due_at).limit(1)
        count = select(func.count()).select_from(copies).where(claimable())
        with self.database.read(deadline) as connection:
            number = connection.execute(count, {"now": now}).scalar_one()
            since = connection.execute(oldest, {"now": now}).scalar()
        return number, (now - since).total_seconds() if since else 0.0

    def oldest_claim_seconds(self, deadline: Deadline | None = None) -> float:
        """For how many seconds the longest work on one copy has been going on; 0.0 when no copy is being worked on."""
        in_work = and_(copies.c.state == State.FETCHING.value, copies.c.claimed_at.is_not(None))
        query = select(copies.c.claimed_at).where(in_work).order_by(copies.c.claimed_at).limit(1)
        with self.database.read(deadline) as connection:
            since = connection.scalars(query).first()
        return (self._clock() - since).total_seconds() if since else 0.0

    def request(self, recording_id: int, storage: str) -> None:
        """Ask the workers for a copy in this storage, unless the copy has a row already."""
        row = {"recording_id": recording_id, "storage": storage, "state": State.PENDING.value, "attempts": 0}
        statement = self.database.insert(copies).values(row | {"due_at": self._clock()}).on_conflict_do_nothing()
        with self.database.write() as connection:
            follow_copies(connection, connection.scalars(statement.returning(copies.c.id)).all())
            self.database.notify_workers(connection)

    def retry(self, recording_uuid: str) -> list[int]:
        """Make every copy of the recording that is neither stored nor in work due now. Returns their ids."""
        its_rows = select(recordings.c.id).where(has_uuid(recording_uuid))
        statement = update(copies).where(copies.c.recording_id.in_(its_rows), copies.c.state.in_(_IDLE))
        statement = statement.values(state=State.PENDING.value, due_at=self._clock()).returning(copies.c.id)
        with self.database.write() as connection:
            ids = [row.id for row in connection.execute(statement)]
            follow_copies(connection, ids)
            if ids:
                self.database.notify_workers(connection)
            return ids

    def retry_all(self, state: State, *, upto: int, most: int) -> int:
        """Make the copies in this state due now: of those up to the row `upto`, `most` at most. Returns how many."""
        due = {"state": State.PENDING.value, "due_at": self._clock()}
        done = 0
        while done < most:
            chosen = select(copies.c.id).where(copies.c.state == state.value, copies.c.id <= upto)
            some = chosen.limit(min(_AT_ONCE, most - done))
            statement = update(copies).where(copies.c.id.in_(some), copies.c.state == state.value).values(due)
            with self.database.write() as connection:
                ids = connection.scalars(statement.returning(copies.c.id)).all()
                follow_copies(connection, ids)
                if ids:
                    self.database.notify_workers(connection)
            if not ids:
                break
            done += len(ids)
        return done

    def requeue_blocked(self) -> None:
        """At a worker's start: make the blocked copies due at once, since only a person can mend what blocks them.

        People restart the worker after they have corrected its configuration.
        """
        statement = update(copies).where(copies.c.state == State.BLOCKED.value).values(due_at=self._clock())
        with self.database.write() as connection:
            connection.execute(statement)

    def back_off_dead(self, delay: Callable[[int], float]) -> int:
        """Let copies that keep killing their worker wait; `delay` gives the seconds by the number of attempts.

        A worker that dies says nothing, so the attempts that each claim counted are all there is to go by.
        """
        now = self._clock()
        dead = and_(copies.c.state == State.FETCHING.value, copies.c.due_at <= now)
        query = select(*copies.c["id", "token", "attempts"]).where(dead, copies.c.attempts > DEATHS_TOLERATED)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            then = now + timedelta(seconds=delay(row.attempts))
            error = f"The worker stopped without a word at attempt {row.attempts}; look at its log and its memory."
            values = {"state": State.WAITING.value, "token": None, "error": error, "due_at": then}
            statement = update(copies).where(dead, copies.c.token == row.token).values(values)
            with self.database.write() as connection:
                if connection.execute(statement).rowcount:
                    follow_copies(connection, [row.id])
                    note_failure(connection, row.id, row.attempts, now, State.WAITING, error)
        return len(rows)
