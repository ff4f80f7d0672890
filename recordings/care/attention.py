"""What needs a person's hand, in piles, and the order that a person gives for a whole pile.

An order names how many rows it is for and the newest of them, so it never does more than the person has confirmed. It
is carried out in small transactions and within some seconds; what is left is ordered anew. How a pile is shown and what
a person reads about it is decided by the pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from recordings.catalogue import piles
from recordings.catalogue.database import Database
from recordings.catalogue.inbox import Inbox, Interpret
from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.piles import Pile
from recordings.catalogue.schedule import Schedule
from recordings.clock import utc_now
from recordings.model import State
from recordings.timeouts import Deadline

from .replays import Attempt, adopt_each, replay_each

# Vonage keeps a recording for 30 days: nothing helps a call that is older.
# https://developer.vonage.com/en/voice/voice-api/guides/recording
_HELPED = timedelta(days=30)
_SECONDS = 5.0  # of one order; each delivery is verified and committed on its own


class Kind(StrEnum):
    """The piles, the most urgent one first."""

    BLOCKED = "blocked"
    FAILED = "failed"
    MISSING = "missing"
    CONFLICTS = "conflicts"
    REFUSED = "refused"


# How many rows one order is for.
AT_ONCE = {Kind.BLOCKED: 10_000, Kind.FAILED: 10_000, Kind.MISSING: 10_000, Kind.CONFLICTS: 500, Kind.REFUSED: 500}


@dataclass(frozen=True, slots=True)
class Done:
    """What an order did: how many rows are `mended`, how many are not, and why one of these is not.

    Of deliveries `last` is the last one that was looked at, after which the next order goes on.
    """

    mended: int
    failed: int = 0
    problem: str = ""
    last: int = 0


class Parts(Protocol):
    """What the orders use."""

    @property
    def database(self) -> Database: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def missing(self) -> MissingCalls: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def interpreter(self) -> Interpret: ...


class Attention:
    """The piles of one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(
        self,
        parts: Parts,
        *,
        clock: Callable[[], datetime] = utc_now,
        ticks: Callable[[], float] = time.monotonic,
        seconds: float = _SECONDS,
    ) -> None:
        self._parts = parts
        self._clock = clock
        self._ticks = ticks
        self._seconds = seconds

    @property
    def missing_since(self) -> datetime:
        """Calls that were found missing before can be helped no more."""
        return self._clock() - _HELPED

    def pile(self, kind: Kind, after: int = 0) -> Pile:
        """The pile of this kind; of deliveries those after this one."""
        database = self._parts.database
        if kind is Kind.MISSING:
            return self._parts.missing.pile(since=self.missing_since)
        if kind is Kind.REFUSED:
            return piles.refused(database, after)
        if kind is Kind.CONFLICTS:
            return piles.conflicts(database, after)
        return piles.copies_in(database, State(kind.value))

    def carry_out(self, kind: Kind, *, after: int, upto: int, most: int) -> Done:
        """The order for a pile: of its rows after `after` and up to `upto`, `most` at the most.

        Blocked and failed copies are due now. Missing calls are set aside. Conflicts are adopted; refused deliveries
        are taken in once more.
        """
        parts, most = self._parts, min(most, AT_ONCE[kind])
        if kind is Kind.MISSING:
            return Done(parts.missing.set_aside(upto=upto, most=most, since=self.missing_since))
        if kind is Kind.CONFLICTS:
            chosen = piles.conflict_rows(parts.database, after=after, upto=upto, most=most)
            return self._counted(adopt_each(parts.inbox, self._in_time(row.id for row in chosen), parts.interpreter))
        if kind is Kind.REFUSED:
            chosen = piles.refused_rows(parts.database, after=after, upto=upto, most=most)
            return self._counted(replay_each(parts.inbox, self._in_time(row.id for row in chosen), parts.interpreter))
        return Done(parts.schedule.retry_all(State(kind.value), upto=upto, most=most))

    def _in_time(self, delivery_ids: Iterable[int]) -> Iterator[int]:
        deadline = Deadline(self._seconds, ticks=self._ticks)
        for delivery_id in delivery_ids:
            yield delivery_id
            if not deadline.left():
                return

    def _counted(self, attempts: Iterable[Attempt]) -> Done:
        done = list(attempts)
        problems = [attempt.problem for attempt in done if attempt.problem]
        return Done(len(done) - len(problems), len(problems), next(iter(problems), ""), done[-1].id if done else 0)
