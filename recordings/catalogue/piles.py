"""What waits for a person's order, in piles: blocked and failed copies, open conflicts, refused deliveries.

A pile is counted up to `MOST` and named by its newest row, so that an order for it does not touch what came later. The
pile of the missing calls is in `missing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, func, not_, select

from recordings.model import State

from .copies import has_audio
from .database import Database
from .inbox import LISTED, StoredDelivery, stored_delivery
from .quotas import Worth
from .tables import REFUSED, copies, deliveries, recordings

MOST = 10_001  # here counting ends, so that it stays quick

_OPEN = [State.FAILED.value, State.BLOCKED.value, State.WAITING.value]
_CONFLICT = and_(
    deliveries.c.outcome == "conflict",
    deliveries.c.recording_id.in_(select(recordings.c.id).where(recordings.c.state.in_(_OPEN)).limit(MOST)),
    # What is stored from the first URL stays, so that another URL could only be refused.
    not_(has_audio(deliveries.c.recording_id)),
)
# Anybody can send what is refused. What does not look like Vonage's needs nobody's hand.
_REFUSED = and_(REFUSED, deliveries.c.worth > Worth.UNLIKELY)


@dataclass(frozen=True, slots=True)
class Pile:
    """How many rows there are, `MOST` at most, and the newest of them; 0 where there is none."""

    number: int
    newest: int


def copies_in(database: Database, state: State) -> Pile:
    """The copies in this state."""
    with database.read() as connection:
        return pile(connection, copies, copies.c.state == state.value)


def errors_in(database: Database, state: State, most: int = 5) -> list[tuple[str, int]]:
    """The errors that most of the copies in this state show, each with how many show it."""
    some = select(copies.c.error).where(copies.c.state == state.value, copies.c.error.is_not(None)).limit(MOST)
    rows = some.subquery()
    query = select(rows.c.error, func.count()).group_by(rows.c.error).order_by(func.count().desc(), rows.c.error)
    with database.read() as connection:
        return [(row[0], row[1]) for row in connection.execute(query.limit(most))]


def refused(database: Database, after: int = 0) -> Pile:
    """The refused deliveries that look like Vonage's, and whose numbers are above `after`."""
    with database.read() as connection:
        return pile(connection, deliveries, and_(_REFUSED, deliveries.c.id > after))


def conflicts(database: Database, after: int = 0) -> Pile:
    """The deliveries with another URL for a recording of which the first one has brought no audio."""
    with database.read() as connection:
        return pile(connection, deliveries, and_(_CONFLICT, deliveries.c.id > after))


def refused_rows(database: Database, *, after: int, upto: int, most: int) -> list[StoredDelivery]:
    """The oldest of the refused deliveries, without their bodies."""
    return _oldest(database, _REFUSED, after, upto, most)


def conflict_rows(database: Database, *, after: int, upto: int, most: int) -> list[StoredDelivery]:
    """The oldest of the open conflicts, without their bodies."""
    return _oldest(database, _CONFLICT, after, upto, most)


def pile(connection: Connection, table: Table, condition: ColumnElement[bool]) -> Pile:
    """The pile of the rows that meet a condition."""
    some = select(table.c.id).where(condition).limit(MOST).subquery()
    number = connection.execute(select(func.count()).select_from(some)).scalar_one()
    newest = connection.execute(select(func.max(table.c.id)).where(condition)).scalar() if number else 0
    return Pile(number, newest or 0)


def _oldest(
    database: Database, condition: ColumnElement[bool], after: int, upto: int, most: int
) -> list[StoredDelivery]:
    query = LISTED.where(condition, deliveries.c.id > after, deliveries.c.id <= upto)
    with database.read() as connection:
        rows: Sequence[Any] = connection.execute(query.order_by(deliveries.c.id).limit(most)).all()
    return [stored_delivery(row, b"") for row in rows]
