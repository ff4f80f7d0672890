"""The life of a copy: claimed under a lease, renewed, finished by whoever still holds it, swept up when nobody does.

Each step is one conditional UPDATE, the same for SQLite and Postgres. A claim hands out a token; finishing asks for it,
so a worker that was frozen or cut off cannot overwrite what its successor did. The queue only says "look at copy X":
losing it loses nothing, because `due` finds every copy whose time has come.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, String, Update, and_, bindparam, cast, func, select, update

from recordings.clock import utc_now
from recordings.errors import CatalogueUnavailable, LeaseLost
from recordings.model import Recording, State
from recordings.storage import PutResult

from .database import Database
from .group_commit import GroupCommit
from .listing import by_ids
from .tables import copies, recordings

log = logging.getLogger(__name__)

_LIVE = (State.PENDING.value, State.WAITING.value, State.BLOCKED.value, State.FETCHING.value)
_REDISPATCH_SECONDS = 300.0

# Made once: making a statement costs more than running it.
_CLAIM = (
    update(copies)
    .where(copies.c.id.in_(bindparam("wanted", expanding=True)))
    .where(copies.c.state.in_(_LIVE), copies.c.held_until <= bindparam("now"))
    .values(
        state=State.FETCHING.value,
        token=bindparam("new_token", String) + cast(copies.c.id, String),
        held_until=bindparam("until"),
        due_at=bindparam("until"),
        attempts=copies.c.attempts + 1,
    )
    .returning(*copies.c["id", "recording_id", "storage", "token", "attempts", "key"])
)

# A copy whose workers died this often without a word waits like one that failed: it may be what kills them.
_DEATHS_TOLERATED = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one copy until the lease ends. `attempts` counts this one; `key` is one pinned before."""

    copy_id: int
    token: str
    storage: str
    attempts: int
    recording: Recording
    key: str | None = None


class _Ending(NamedTuple):
    """The end of a claim: the columns that it sets, and the words for `_finishing`."""

    names: tuple[str, ...]
    words: dict[str, Any]


_Step = int | _Ending  # a copy that is wanted, or the end of a claim


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
        self._redispatch = timedelta(seconds=min(_REDISPATCH_SECONDS, 5 * lease))
        self._clock = clock
        self._new_token = new_token
        self._together = GroupCommit(self._commit_all, CatalogueUnavailable)

    def claim(self, copy_id: int) -> Claim | None:
        """Take the copy, or None: done, held by another, or its time has not come."""
        claimed: Claim | None = self._commit(copy_id)
        return claimed

    def _take(self, connection: Connection, wanted: Sequence[int]) -> dict[int, Claim]:
        """The claims on those of these copies that nobody holds, by copy."""
        now = self._clock()  # not earlier: waiting for a busy database must not eat up the lease
        until = now + timedelta(seconds=self.lease)
        told = {"wanted": wanted, "now": now, "new_token": f"{self._new_token()}-", "until": until}
        rows = connection.execute(_CLAIM, told).all()
        known = by_ids(connection, {row.recording_id for row in rows}) if rows else {}
        return {
            row.id: Claim(row.id, row.token, row.storage, row.attempts, known[row.recording_id], row.key)
            for row in rows
        }

    def renew(self, tokens: Collection[str]) -> set[str]:
        """Hold on to these claims for another lease; returns those that are still ours."""
        mine = and_(copies.c.token.in_(tokens), copies.c.state == State.FETCHING.value)
        with self.database.write() as connection:
            until = self._clock() + timedelta(seconds=self.lease)
            statement = update(copies).where(mine).values(held_until=until, due_at=until).returning(copies.c.token)
            return {row.token for row in connection.execute(statement)}

    def pin(self, claim: Claim, key: str) -> None:
        """Fix the key for this and every later attempt. Raises `LeaseLost`."""
        self._finish(claim, state=State.FETCHING, token=claim.token, key=key)

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

    def give_back(self, claim: Claim, delay: float = 0) -> bool:
        """Let another worker have it, at once or in `delay` seconds: the attempt was not made and does not count.

        False when it was not ours any more: done, or taken over.
        """
        then = self._clock() + timedelta(seconds=delay)
        # The attempt was the last one: nobody claims what is ours.
        return self._wrote(claim, State.PENDING, held_until=then, due_at=then, attempts=claim.attempts - 1)

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
        """The copies to dispatch now. Each is given out once in five minutes (or leases), whoever asks."""
        now = self._clock()
        late = select(copies.c.id).where(and_(copies.c.state.in_(_LIVE), copies.c.due_at <= now))
        # Two workers that sweep at once take different rows, and neither waits for the other. SQLite ignores it.
        chosen = late.order_by(copies.c.due_at).limit(limit).with_for_update(skip_locked=True)
        statement = update(copies).where(and_(copies.c.id.in_(chosen), copies.c.due_at <= now))
        with self.database.write() as connection:
            rows = connection.execute(statement.values(due_at=now + self._redispatch).returning(copies.c.id))
            return [row.id for row in rows]

    def postpone(self, copy_ids: Collection[int], seconds: float) -> None:
        """These could not be dispatched: they are due again so soon."""
        then = self._clock() + timedelta(seconds=seconds)
        waiting = and_(copies.c.id.in_(copy_ids), copies.c.state.in_(_LIVE), copies.c.due_at > then)
        with self.database.write() as connection:
            connection.execute(update(copies).where(waiting).values(due_at=then))

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
        """At a worker's start: copies that nobody holds, and those that wait for a mend, are due at once.

        A restart is how most configuration faults end, and the queue may have lost what it was told.
        """
        now = self._clock()
        blocked = copies.c.state == State.BLOCKED.value
        unclaimed = and_(copies.c.state.in_(_LIVE), copies.c.held_until <= now)
        with self.database.write() as connection:
            connection.execute(update(copies).where(blocked).values(held_until=now, due_at=now))
            connection.execute(update(copies).where(unclaimed).values(due_at=now))

    def due_within(self, seconds: float) -> bool:
        """Whether the sweep will have something to do so soon."""
        soon = self._clock() + timedelta(seconds=seconds)
        query = select(copies.c.id).where(copies.c.state.in_(_LIVE), copies.c.due_at <= soon).limit(1)
        with self.database.read() as connection:
            return connection.execute(query).first() is not None

    def overdue(self) -> tuple[int, float]:
        """How many copies anybody could claim now, and for how many seconds the oldest of them has been waiting."""
        now = self._clock()
        free = and_(copies.c.state.in_(_LIVE), copies.c.held_until <= now)
        # The oldest by a row, not by min(): that would come back without the column's type, as text from SQLite.
        oldest = select(copies.c.held_until).where(free).order_by(copies.c.held_until).limit(1)
        with self.database.read() as connection:
            count = connection.execute(select(func.count()).select_from(copies).where(free)).scalar_one()
            since = connection.execute(oldest).scalar()
        return count, (now - since).total_seconds() if since else 0.0

    def _finish(self, claim: Claim, *, state: State, **values: Any) -> None:
        if not self._wrote(claim, state, **values):
            raise LeaseLost(f"Another worker took over {claim.recording.recording_uuid} in {claim.storage}.")

    def _wrote(self, claim: Claim, state: State, **values: Any) -> bool:
        told = {"state": state.value, "token": None} | values
        mine = {"its_id": claim.copy_id, "its_token": claim.token}
        return bool(self._commit(_Ending(tuple(told), mine | {f"new_{name}": value for name, value in told.items()})))

    def _commit(self, step: _Step) -> Any:
        """The step's result, once it is committed: the `Claim` on a copy or None, or whether an ending was ours.

        On SQLite, where writers take turns, in one transaction with all that wait. On Postgres they need not wait; and
        transactions of several rows, each in an order of its own, could wait for each other there.
        """
        return self._together.do(step) if self.database.sqlite else self._commit_all([step])[0]

    def _commit_all(self, steps: Sequence[_Step]) -> list[Any]:
        wanted = [step for step in steps if not isinstance(step, _Ending)]
        with self.database.write() as connection:
            ended = [
                connection.execute(_finishing(step.names), step.words).rowcount > 0
                for step in steps
                if isinstance(step, _Ending)
            ]
            taken = self._take(connection, wanted) if wanted else {}
        endings = iter(ended)
        # Of two who want the same copy the first gets it.
        return [next(endings) if isinstance(step, _Ending) else taken.pop(step, None) for step in steps]


@cache
def _finishing(names: tuple[str, ...]) -> Update:
    """The UPDATE that ends a claim, by the columns that it sets; also made once."""
    mine = and_(copies.c.id == bindparam("its_id"), copies.c.token == bindparam("its_token"))
    return update(copies).where(mine).values({name: bindparam(f"new_{name}") for name in names})
