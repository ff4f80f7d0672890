"""Searching recordings: pages of those that a filter chooses, newest first, in a time that does not grow with them.

A page begins where the last one ended (by a cursor, never by a number of rows to skip), and counts to 10,000 at most.
The grammar of filters is in `filters`, the choice of an index in `search_plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, literal, select, tuple_

from recordings.clock import clock_text
from recordings.model import Recording

from .cursors import Place, to_cursor, to_place
from .database import Database
from .filters import InvalidFilter, RecordingFilter, filter_fields, parse_filter
from .listing import by_ids
from .search_plan import BOUNDS, Bounds, Conditions, Plan, plan_for
from .tables import recordings
from .utc_time import UtcTime

__all__ = [
    "InvalidFilter",
    "Page",
    "RecordingFilter",
    "RecordingRow",
    "by_row",
    "filter_fields",
    "parse_filter",
    "search",
]

MOST_ROWS = 500  # of a page


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """A recording with the id of its row. `seconds` and `channels` were measured from the audio; None: not yet."""

    id: int
    recording: Recording
    seconds: float | None
    channels: int | None

    def duration(self, announced: str) -> str:
        """`3:05` as it was measured; the same after `announced`, as Vonage announced it; "" where nothing is known."""
        if self.seconds is not None:
            return clock_text(self.seconds)
        start, end = self.recording.start_time, self.recording.end_time
        return f"{announced}{clock_text((end - start).total_seconds())}" if start and end and end >= start else ""


@dataclass(frozen=True, slots=True)
class Page:
    """The recordings of one page, newest first. `next_cursor` is None where nothing is left to look at.

    `count` is how many recordings the filter chooses in all; `count_capped`: there are at least so many. Where few
    recordings are wanted, a page looks only so far back that it is quick. It may then have few rows or none although
    there is a `next_cursor`: everything since `searched_to` was looked at, and the next page looks further back.
    """

    rows: tuple[RecordingRow, ...]
    next_cursor: str | None
    count: int
    count_capped: bool
    searched_to: datetime | None = None


def search(
    database: Database,
    filter: RecordingFilter,
    *,
    cursor: str | None = None,
    limit: int = 50,
    secret: bytes,
    bounds: Bounds = BOUNDS,
) -> Page:
    """One page of at most `limit` recordings. Raises `InvalidFilter` for a wrong cursor or limit.

    `secret` signs the cursors; it is the same in every process of a deployment.
    """
    if not 1 <= limit <= MOST_ROWS:
        raise InvalidFilter(f"limit cannot be {limit}: use 1 to {MOST_ROWS}.")
    after = to_place(cursor, filter, secret) if cursor else None
    with database.read() as connection:
        plan = plan_for(connection, filter, bounds.few)
        part = _part(connection, plan, filter, after, limit, bounds)
        count, capped = _count(connection, plan, filter, bounds)
    next_cursor = to_cursor(part.end, filter, secret) if part.end else None
    return Page(part.rows, next_cursor, count, capped, part.end.received_at if part.cut_short and part.end else None)


def walk(
    database: Database, filter: RecordingFilter, *, limit: int | None = None, bounds: Bounds = BOUNDS
) -> Iterator[RecordingRow]:
    """The recordings that a filter chooses, newest first, all or so many; memory does not grow with their number."""
    after: Place | None = None
    left = limit
    while left is None or left > 0:
        size = bounds.walked if left is None else min(bounds.walked, left)
        with database.read() as connection:
            part = _part(connection, plan_for(connection, filter, bounds.few), filter, after, size, bounds)
        yield from part.rows
        left = None if left is None else left - len(part.rows)
        after = part.end
        if after is None:
            return


def count_up_to(database: Database, filter: RecordingFilter, *, bounds: Bounds = BOUNDS) -> tuple[int, bool]:
    """How many recordings a filter chooses, and whether there may be more: see `Page`."""
    with database.read() as connection:
        return _count(connection, plan_for(connection, filter, bounds.few), filter, bounds)


def by_row(database: Database, row_id: int) -> RecordingRow | None:
    """The recording in this row; None: there is no such row."""
    with database.read() as connection:
        rows = _whole(connection, [row_id])
    return rows[0] if rows else None


# --- One part of the list --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """`end`: where the next part begins; None: nothing is left. `cut_short`: it is not full, and more may be left."""

    rows: tuple[RecordingRow, ...]
    end: Place | None
    cut_short: bool


def _part(
    connection: Connection, plan: Plan, filter: RecordingFilter, after: Place | None, size: int, bounds: Bounds
) -> _Part:
    window = _window(filter, after)
    horizon = _horizon(connection, plan, window, bounds.window) if plan.sparse else None
    if horizon:
        window = (*window, _since(horizon))
    places: list[Place] = []
    for branch in plan.branches:
        query = _PLACES.where(*branch, *plan.others, *window).order_by(*_NEWEST).limit(size + 1)
        places += [Place(*row) for row in connection.execute(query)]
    places.sort(reverse=True)
    rows = _whole(connection, [place.row_id for place in places[:size]])
    if len(places) > size:
        return _Part(rows, places[size - 1], False)
    return _Part(rows, horizon, horizon is not None)


_PLACES = select(*recordings.c["received_at", "id"])
_NEWEST = (recordings.c.received_at.desc(), recordings.c.id.desc())
_FIRST_ROW = 0  # before the rows of a moment: their ids begin with 1


def _since(place: Place) -> ColumnElement[bool]:
    # Of the time alone Postgres knows how many rows are within a range; of two columns together it guesses badly.
    return and_(recordings.c.received_at >= place.received_at, _columns() >= _values(place))


def _before(place: Place) -> ColumnElement[bool]:
    return and_(recordings.c.received_at <= place.received_at, _columns() < _values(place))


def _columns() -> ColumnElement[Any]:
    return tuple_(*recordings.c["received_at", "id"])


def _values(place: Place) -> ColumnElement[Any]:
    return tuple_(literal(place.received_at, UtcTime), literal(place.row_id))


def _window(filter: RecordingFilter, after: Place | None) -> Conditions:
    """The part of the list that the filter's dates allow, after this place."""
    ends = [Place(filter.until, _FIRST_ROW)] if filter.until else []
    ends += [after] if after else []
    begin = (_since(Place(filter.since, _FIRST_ROW)),) if filter.since else ()
    return (*begin, _before(min(ends))) if ends else begin


def _horizon(connection: Connection, plan: Plan, window: Conditions, most: int) -> Place | None:
    """How far back a page may look; None: to the end."""
    horizons = []
    for branch in plan.branches:
        query = _PLACES.where(*branch, *window).order_by(*_NEWEST).offset(most).limit(1)
        horizons += [Place(*row) for row in connection.execute(query)]
    return max(horizons, default=None)


def _count(connection: Connection, plan: Plan, filter: RecordingFilter, bounds: Bounds) -> tuple[int, bool]:
    window = _window(filter, None)
    horizon = _horizon(connection, plan, window, bounds.window) if plan.sparse else None
    if horizon:
        window = (*window, _since(horizon))
    most = min(bounds.counted, bounds.counted_of_number) if filter.number else bounds.counted
    number = 0
    for branch in plan.branches:
        rows = select(recordings.c.id).where(*branch, *plan.others, *window).limit(most + 1).subquery()
        number += connection.execute(select(func.count()).select_from(rows)).scalar_one()
    return min(number, most), number > most or horizon is not None


# Made once: making a statement costs more than running it.
_MEASURED = select(*recordings.c["id", "seconds", "heard_channels"]).where(
    recordings.c.id.in_(bindparam("row_ids", expanding=True))
)


def _whole(connection: Connection, row_ids: Sequence[int]) -> tuple[RecordingRow, ...]:
    """The recordings in these rows, in this order. A row that does not exist is left out."""
    whole = by_ids(connection, row_ids)
    measured = {row.id: row for row in connection.execute(_MEASURED, {"row_ids": list(row_ids)})}
    return tuple(
        RecordingRow(row_id, whole[row_id], measured[row_id].seconds, measured[row_id].heard_channels)
        for row_id in row_ids
        if row_id in whole
    )
