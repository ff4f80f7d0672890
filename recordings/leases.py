"""The life of a copy: claimed under a lease, renewed, finished by whoever still holds it, swept up when nobody does.

Each step is one conditional UPDATE, the same for SQLite and Postgres. A claim hands out a token; finishing asks for it,
so a worker that was frozen or cut off cannot overwrite what its successor did. The queue only says "look at copy X":
losing it loses nothing, because `due` finds every copy whose time has come.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, select, update

from .catalogue import utc_now
from .database import Database
from .listing import by_id
from .model import LeaseLost, PutResult, Recording, State
from .tables import copies, recordings

log = logging.getLogger(__name__)

_LIVE = (State.PENDING.value, State.WAITING.value, State.BLOCKED.value, State.FETCHING.value)
_REDISPATCH = timedelta(minutes=5)

# A copy whose workers died this often without a word waits like one that failed: it may be what kills them.
_DEATHS_TOLERATED = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one copy until the lease ends. `attempts` counts this one."""

    copy_id: int
    token: str
    storage: str
    attempts: int
    recording: Recording


class Leases:
    """Claims on the copies in one database; `lease` in seconds. Raises `CatalogueUnavailable` as the database does."""

    def __init__(
        self,
        database: Database,
        *,
        lease: float = 60,
        clock: Callable[[], datetime] = utc_now,
        new_token: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self.database = database
        self.lease = lease
        self._clock = clock
        self._new_token = new_token

    def claim(self, copy_id: int) -> Claim | None:
        """Take the copy, or None: done, held by another, or its time has not come."""
        now, token = self._clock(), self._new_token()
        until = now + timedelta(seconds=self.lease)
        free = and_(copies.c.id == copy_id, copies.c.state.in_(_LIVE), copies.c.held_until <= now)
        taken = {"state": State.FETCHING.value, "token": token, "held_until": until, "due_at": until}
        statement = update(copies).where(free).values(taken | {"attempts": copies.c.attempts + 1})
        with self.database.write() as connection:
            row = connection.execute(statement.returning(*copies.c["recording_id", "storage", "attempts"])).first()
            if row is None:
                return None
            return Claim(copy_id, token, row.storage, row.attempts, by_id(connection, row.recording_id))

    def renew(self, tokens: Collection[str]) -> set[str]:
        """Hold on to these claims for another lease; returns those that are still ours."""
        until = self._clock() + timedelta(seconds=self.lease)
        mine = and_(copies.c.token.in_(tokens), copies.c.state == State.FETCHING.value)
        statement = update(copies).where(mine).values(held_until=until, due_at=until).returning(copies.c.token)
        with self.database.write() as connection:
            return {row.token for row in connection.execute(statement)}

    def stored(self, claim: Claim, *, key: str, content_type: str, result: PutResult) -> None:
        """The copy is there, by the store's own word. Raises `LeaseLost` when another worker holds it now."""
        self._finish(
            claim,
            state=State.STORED,
            key=key,
            size=result.size,
            sha256=result.sha256,
            content_type=content_type,
            uri=result.uri,
            stored_at=self._clock(),
            error=None,
        )

    def again(self, claim: Claim, state: State, error: str, delay: float) -> None:
        """Another attempt after `delay` seconds, shown as `waiting` or `blocked`. Raises `LeaseLost`."""
        then = self._clock() + timedelta(seconds=delay)
        self._finish(claim, state=state, error=error, held_until=then, due_at=then)

    def failed(self, claim: Claim, error: str) -> None:
        """No further attempt by itself. Raises `LeaseLost`."""
        self._finish(claim, state=State.FAILED, error=error)

    def give_back(self, claim: Claim) -> None:
        """Let another worker have it at once: this one is stopping. The attempt does not count."""
        now = self._clock()
        self._finish(
            claim, state=State.PENDING, held_until=now, due_at=now, attempts=copies.c.attempts - 1, missing_ok=True
        )

    def retry(self, recording_uuid: str) -> list[int]:
        """Make every copy of the recording that is not stored, nor in work, due now. Returns their ids."""
        now = self._clock()
        its = select(recordings.c.id).where(recordings.c.recording_uuid == recording_uuid)
        idle = copies.c.state.in_([s.value for s in (State.FAILED, State.BLOCKED, State.WAITING, State.PENDING)])
        statement = update(copies).where(and_(copies.c.recording_id.in_(its), idle))
        with self.database.write() as connection:
            rows = connection.execute(
                statement.values(state=State.PENDING.value, held_until=now, due_at=now).returning(copies.c.id)
            )
            return [row.id for row in rows]

    def due(self, *, limit: int = 500) -> list[int]:
        """The copies to dispatch now. Each is given out once in five minutes, whoever asks."""
        now = self._clock()
        late = select(copies.c.id).where(and_(copies.c.state.in_(_LIVE), copies.c.due_at <= now))
        chosen = late.order_by(copies.c.due_at).limit(limit)
        statement = update(copies).where(and_(copies.c.id.in_(chosen), copies.c.due_at <= now))
        with self.database.write() as connection:
            rows = connection.execute(statement.values(due_at=now + _REDISPATCH).returning(copies.c.id))
            return [row.id for row in rows]

    def expire(self, delay: Callable[[int], float]) -> int:
        """Let copies that keep killing their worker wait; `delay` gives the seconds by the number of attempts.

        A worker that dies says nothing, so the attempts that `claim` counted are all there is to go by.
        """
        now = self._clock()
        dead = and_(copies.c.state == State.FETCHING.value, copies.c.held_until <= now)
        query = select(*copies.c["id", "token", "attempts"]).where(dead, copies.c.attempts > _DEATHS_TOLERATED)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            then = now + timedelta(seconds=delay(row.attempts))
            error = f"The worker stopped without a word at attempt {row.attempts}; look at its log and its memory."
            values = {"state": State.WAITING.value, "token": None, "error": error, "held_until": then, "due_at": then}
            with self.database.write() as connection:
                connection.execute(update(copies).where(dead, copies.c.token == row.token).values(values))
        return len(rows)

    def wake(self) -> None:
        """At a worker's start: copies that wait for a dispatch or for a mend are due at once.

        A restart is how most configuration faults end, and the queue may have lost what it was told.
        """
        now = self._clock()
        blocked = copies.c.state == State.BLOCKED.value
        unclaimed = and_(copies.c.state == State.PENDING.value, copies.c.held_until <= now)
        with self.database.write() as connection:
            connection.execute(update(copies).where(blocked).values(held_until=now, due_at=now))
            connection.execute(update(copies).where(unclaimed).values(due_at=now))

    def due_within(self, seconds: float) -> bool:
        """Whether the sweep will have something to do so soon."""
        soon = self._clock() + timedelta(seconds=seconds)
        query = select(copies.c.id).where(copies.c.state.in_(_LIVE), copies.c.due_at <= soon).limit(1)
        with self.database.read() as connection:
            return connection.execute(query).first() is not None

    def _finish(self, claim: Claim, *, state: State, missing_ok: bool = False, **values: Any) -> None:
        mine = and_(copies.c.id == claim.copy_id, copies.c.token == claim.token)
        statement = update(copies).where(mine).values(state=state.value, token=None, **values)
        with self.database.write() as connection:
            if connection.execute(statement).rowcount == 0 and not missing_ok:
                raise LeaseLost(f"Another worker took over {claim.recording.recording_uuid} in {claim.storage}.")
