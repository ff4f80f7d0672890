"""Claims on copies: a worker takes copies that are due under a lease, renews the lease, and ends the claim.

A copy's row is its job. Each step is one conditional UPDATE. A claim comes with a token, and ending it asks for the
token: a worker that was frozen or cut off cannot overwrite what its successor did. When copies become due without a
worker stands in `schedule`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, String, Update, and_, bindparam, cast, not_, select, update

from recordings.clock import utc_now
from recordings.errors import CatalogueUnavailable, LeaseLost
from recordings.model import Recording, State
from recordings.storage import PutResult
from recordings.timeouts import Deadline

from .attempts import note_failure
from .database import Database
from .derived import follow_copies
from .group_commit import GroupCommit
from .listing import by_ids
from .outgoing import OutgoingEvents
from .tables import copies

Item = TypeVar("Item")
Result = TypeVar("Result")

# The copy may be what kills its workers. When more than so many workers died while they had it, the copy waits before
# the next claim, as after an error. See `Schedule.back_off_dead`.
DEATHS_TOLERATED = 3


def claimable() -> ColumnElement[bool]:
    """The copies that a worker may take at the time `now`."""
    dead = and_(copies.c.state == State.FETCHING.value, copies.c.attempts > DEATHS_TOLERATED)
    return and_(copies.c.due_at <= bindparam("now"), not_(dead))


_CLAIM_COLUMNS = copies.c[
    "id", "recording_id", "storage", "token", "attempts", "key", "size", "sha256", "content_type", "uri"
]

_FAILURES = (State.WAITING.value, State.BLOCKED.value, State.FAILED.value)  # what an attempt without success leads to

# Statements are made once: making one costs more than running it.
_CLAIMED = (
    update(copies)
    .values(
        state=State.FETCHING.value,
        token=bindparam("new_token", String) + cast(copies.c.id, String),
        due_at=bindparam("until"),
        claimed_at=bindparam("now"),
        attempts=copies.c.attempts + 1,
    )
    .returning(*_CLAIM_COLUMNS)
)
_CLAIM_ROW = _CLAIMED.where(copies.c.id == bindparam("row_id"), copies.c.due_at <= bindparam("now"))
# Workers on Postgres pass over the rows that another worker is just taking; SQLite has one writer and ignores it.
_NEXT = (
    select(copies.c.id)
    .where(claimable(), copies.c.storage.not_in(bindparam("without", expanding=True)))
    .order_by(copies.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("next_copies")
)
_CLAIM_NEXT = _CLAIMED.where(copies.c.id.in_(select(_NEXT.c.id)))
_MINE = and_(copies.c.id == bindparam("row_id"), copies.c.token == bindparam("row_token"))


@dataclass(frozen=True, slots=True)
class StoredAudio:
    """Audio that an attempt proved to be in the store."""

    key: str
    size: int
    sha256: str
    content_type: str
    uri: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one copy until the lease ends. `attempts` includes this attempt.

    `key` is the object key that an earlier attempt pinned. `audio` is set when the audio is stored already, and only
    its sidecar is missing.
    """

    copy_id: int
    token: str
    storage: str
    attempts: int
    recording: Recording
    key: str | None = None
    audio: StoredAudio | None = None


class _Ending(NamedTuple):
    """The end of a claim, or a change under it: the columns that it sets, and the parameters of `_ending`."""

    columns: tuple[str, ...]
    params: dict[str, Any]
    attempt: int  # its number


class Leases:
    """Claims on the copies in one database; `lease` in seconds. Raises `CatalogueUnavailable` as the database does.

    On SQLite, where writers take turns, the claims of several threads are one transaction, and so are their endings.
    On Postgres each is a transaction of its own: writers need not wait for each other there.

    `events` are written for programs in the transaction in which a copy is stored or has failed.
    """

    def __init__(
        self,
        database: Database,
        *,
        lease: float = 60,
        clock: Callable[[], datetime] = utc_now,
        new_token: Callable[[], str] = lambda: uuid.uuid4().hex,
        events: OutgoingEvents | None = None,
    ) -> None:
        self.database = database
        self.lease = lease
        self._events = events
        self._clock = clock
        self._new_token = new_token
        self._claims = GroupCommit[frozenset[str], "Claim | None"](self._claim_each, CatalogueUnavailable)
        self._endings = GroupCommit[_Ending, bool](self._end_all, CatalogueUnavailable)

    # --- Claiming ----------------------------------------------------------------------------------------------------

    def claim_next(self, without: Collection[str] = ()) -> Claim | None:
        """Take the copy that has been due for the longest time, in none of these storages; None when none is due."""
        return self._commit(self._claims, self._claim_each, frozenset(without))

    def claim(self, copy_id: int) -> Claim | None:
        """Take this copy, or None: it is done, held by another worker, or not due yet."""
        claims = self._claim_rows(_CLAIM_ROW, Deadline(), row_id=copy_id)
        return claims[0] if claims else None

    def take(self, recording_id: int, storage: str) -> Claim | None:
        """Ask for a copy in this storage, and claim it at once. None: it is stored, or another worker holds it."""
        now = self._clock()
        held = and_(copies.c.state == State.FETCHING.value, copies.c.due_at > now)
        values = self._claimed()
        statement = self.database.insert(copies).values(
            values | {"recording_id": recording_id, "storage": storage, "attempts": 1}
        )
        statement = statement.on_conflict_do_update(
            index_elements=["recording_id", "storage"],
            set_=values | {"attempts": copies.c.attempts + 1},
            where=and_(copies.c.state != State.STORED.value, not_(held)),
        )
        claims = self._claim_rows(statement.returning(*_CLAIM_COLUMNS), Deadline(), was_due=False)
        return claims[0] if claims else None

    def reopen(self, copy_id: int, problem: str) -> Claim | None:
        """Claim a stored copy that was found missing or damaged. None: it is not stored any more."""
        stored = and_(copies.c.id == copy_id, copies.c.state == State.STORED.value)
        # The key stays: the new object gets the same key.
        values = {"error": problem, "size": None, "sha256": None, "stored_at": None, "attempts": 1}
        statement = update(copies).where(stored).values(self._claimed() | values).returning(*_CLAIM_COLUMNS)
        claims = self._claim_rows(statement, Deadline(), was_due=False)
        return claims[0] if claims else None

    def _claim_each(self, exclusions: Sequence[frozenset[str]], deadline: Deadline) -> list[Claim | None]:
        without = list(frozenset().union(*exclusions))
        claims = self._claim_rows(_CLAIM_NEXT, deadline, most=len(exclusions), without=without)
        return [*claims, *[None] * (len(exclusions) - len(claims))]

    def _claim_rows(self, statement: Any, deadline: Deadline, *, was_due: bool = True, **params: Any) -> list[Claim]:
        with self.database.write(deadline) as connection:
            # The lease begins here, and not before a wait for a busy database.
            now = self._clock()
            params |= {"now": now, "until": self._lease_end(), "new_token": f"{self._new_token()}-"}
            rows = connection.execute(statement, params).all()
            if not rows:
                return []
            # A copy that waits for its first attempt is pending: its recording keeps that state, see `state_kept`.
            follow_copies(connection, [row.id for row in rows if row.attempts > 1 or not was_due])
            recordings = by_ids(connection, {row.recording_id for row in rows})
        claims = [_claim(row, recordings[row.recording_id]) for row in rows]
        if self._clock() > now + timedelta(seconds=self.lease / 3):
            # The transaction waited for a lock. Perhaps the lease is over already, and another worker has the copies.
            for claim in claims:
                self.give_back(claim)
            return []
        return claims

    def _claimed(self) -> dict[str, Any]:
        """The columns of a row that is claimed."""
        times = {"claimed_at": self._clock(), "due_at": self._lease_end()}
        return {"state": State.FETCHING.value, "token": self._new_token(), **times}

    def _lease_end(self) -> datetime:
        return self._clock() + timedelta(seconds=self.lease)

    # --- Under a claim -----------------------------------------------------------------------------------------------

    def renew(self, tokens: Collection[str]) -> set[str]:
        """Hold these claims for another lease; returns the tokens of those that are still ours."""
        mine = and_(copies.c.token.in_(tokens), copies.c.state == State.FETCHING.value)
        with self.database.write() as connection:
            statement = update(copies).where(mine).values(due_at=self._lease_end()).returning(copies.c.token)
            return {row.token for row in connection.execute(statement)}

    def pin(self, claim: Claim, key: str) -> None:
        """Fix the key for this and every later attempt. Raises `LeaseLost`."""
        self._end(claim, key=key)

    # --- Ending a claim ----------------------------------------------------------------------------------------------

    def stored(self, claim: Claim, *, key: str, content_type: str, result: PutResult) -> None:
        """The store has confirmed the copy. Raises `LeaseLost` when another worker holds it now."""
        self._end(
            claim,
            state=State.STORED.value,
            token=None,
            due_at=None,
            key=key,
            size=result.size,
            sha256=result.sha256,
            content_type=content_type,
            uri=result.uri,
            stored_at=self._clock(),
            error=None,
        )

    def retry_later(
        self, claim: Claim, state: State, error: str, delay: float, *, audio: StoredAudio | None = None
    ) -> None:
        """Another attempt after `delay` seconds, shown as `waiting` or `blocked`. Raises `LeaseLost`.

        `audio` is in the store: the next attempt has nothing to fetch, only the sidecar to write.
        """
        then = self._clock() + timedelta(seconds=delay)
        self._end(claim, state=state.value, token=None, error=error, due_at=then, **_columns(audio))

    def failed(self, claim: Claim, error: str, *, audio: StoredAudio | None = None) -> None:
        """No further attempt by itself. Raises `LeaseLost`."""
        self._end(claim, state=State.FAILED.value, token=None, error=error, due_at=None, **_columns(audio))

    def give_back(self, claim: Claim, delay: float = 0) -> bool:
        """Let another worker have the copy, at once or in `delay` seconds. The attempt does not count: it was not made.

        False when the copy was not ours any more: it is done, or another worker took over.
        """
        then = self._clock() + timedelta(seconds=delay)
        # The count is exact: no other worker can have claimed the copy since.
        values = {"state": State.PENDING.value, "token": None, "due_at": then, "attempts": claim.attempts - 1}
        return self._write(claim, values)

    def ended(self, claim: Claim, state: State) -> bool:
        """Whether the row is as the end of this claim in this state leaves it: nobody has claimed the copy since."""
        query = select(*copies.c["state", "token", "attempts"]).where(copies.c.id == claim.copy_id)
        with self.database.read() as connection:
            return connection.execute(query).one_or_none() == (state.value, None, claim.attempts)

    def _end(self, claim: Claim, **values: Any) -> None:
        if not self._write(claim, values):
            raise LeaseLost(f"Another worker took over {claim.recording.recording_uuid} in {claim.storage}.")

    def _write(self, claim: Claim, values: dict[str, Any]) -> bool:
        """Set these columns of the row, if the claim still holds; whether it did."""
        params = {"row_id": claim.copy_id, "row_token": claim.token}
        params |= {f"new_{name}": value for name, value in values.items()}
        return self._commit(self._endings, self._end_all, _Ending(tuple(values), params, claim.attempts))

    def _end_all(self, endings: Sequence[_Ending], deadline: Deadline) -> list[bool]:
        with self.database.write(deadline) as connection:
            results = [connection.execute(_ending(ending.columns), ending.params).rowcount > 0 for ending in endings]
            states = [ending.params for ending in endings if "new_state" in ending.params]
            follow_copies(connection, [params["row_id"] for params in states])
            if any(ending.params.get("new_state") == State.PENDING.value for ending in endings):
                self.database.notify_workers(connection)
            if self._events is not None:
                self._events.note_copies(connection, _decided(endings, results))
            self._note_failures(connection, endings, results)
            return results

    def _note_failures(self, connection: Connection, endings: Sequence[_Ending], results: Sequence[bool]) -> None:
        for ending, held in zip(endings, results, strict=True):
            state = ending.params.get("new_state")
            if held and state in _FAILURES:
                error = ending.params["new_error"]
                note_failure(connection, ending.params["row_id"], ending.attempt, self._clock(), State(state), error)

    def _commit(
        self,
        group: GroupCommit[Item, Result],
        alone: Callable[[Sequence[Item], Deadline], Sequence[Result]],
        item: Item,
    ) -> Result:
        deadline = Deadline()
        return group.do(item, deadline) if self.database.sqlite else alone([item], deadline)[0]


def _columns(audio: StoredAudio | None) -> dict[str, Any]:
    return asdict(audio) if audio else {}


def _claim(row: Row[Any], recording: Recording) -> Claim:
    known = row.sha256 is not None and row.key is not None
    audio = StoredAudio(row.key, row.size, row.sha256, row.content_type, row.uri) if known else None
    return Claim(row.id, row.token, row.storage, row.attempts, recording, row.key, audio)


def _decided(endings: Sequence[_Ending], results: Sequence[bool]) -> list[int]:
    """The copies that are stored or have failed now."""
    final = (State.STORED.value, State.FAILED.value)
    ended = zip(endings, results, strict=True)
    return [ending.params["row_id"] for ending, held in ended if held and ending.params.get("new_state") in final]


@cache
def _ending(columns: tuple[str, ...]) -> Update:
    """The UPDATE of a row under a claim, by the columns that it sets; also made once."""
    return update(copies).where(_MINE).values({name: bindparam(f"new_{name}") for name in columns})
