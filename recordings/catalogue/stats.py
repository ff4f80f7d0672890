"""The catalogue in numbers, for a monitor that asks each few seconds and for the pages.

A worker counts everything now and then and writes the figures down, so that reading them costs the same at any size.
Where no worker has done so lately, the figures are counted when they are asked for: they are never older than a minute
and a half.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, func, select

from recordings.clock import utc_now
from recordings.model import State
from recordings.timeouts import Deadline

from .daily import Days, recordings_by_day
from .database import Database
from .tables import REFUSED, copies, deliveries, figures, recordings

DAYS = 30  # that are counted one by one
COUNTED_EVERY = 45.0  # seconds: an alert is right within a minute, with the time that counting takes
_FRESH = timedelta(seconds=90)
_JUST_NOW = timedelta(seconds=30)  # another worker has counted
_FEW = 5_000  # recordings, which are counted within milliseconds: whoever has just placed a call sees it

_THE_ROW = 1
# The index on these columns holds all that this needs.
_COPIES = select(
    *copies.c["storage", "state"],
    func.count().label("number"),
    func.coalesce(func.sum(copies.c.size), 0).label("bytes"),
).group_by(*copies.c["state", "storage"])
_RECORDINGS = select(func.count()).select_from(recordings)
_FIGURES = select(*figures.c["counted_at", "document"]).where(figures.c.id == _THE_ROW)
_REFUSED_LAST = select(func.max(deliveries.c.id).label("id")).where(REFUSED).group_by(deliveries.c.worth).subquery()
_REFUSED_TIMES = (
    select(*deliveries.c["worth", "received_at"])
    .join(_REFUSED_LAST, deliveries.c.id == _REFUSED_LAST.c.id)
    .order_by(deliveries.c.received_at)
)


@dataclass(frozen=True, slots=True)
class Totals:
    """`copies` and `bytes` by (storage, state), those that are 0 left out; the recordings of the last `DAYS` days.

    `age`: seconds since they were counted.
    """

    recordings: int
    copies: Mapping[tuple[str, State], int] = field(default_factory=dict)
    bytes: Mapping[tuple[str, State], int] = field(default_factory=dict)
    days: Days = field(default_factory=dict)
    age: float = 0.0

    def former(self, configured: Iterable[str]) -> list[str]:
        """The storages that hold copies and are not configured any more."""
        return sorted({storage for storage, _ in self.copies} - set(configured))


@dataclass(frozen=True, slots=True)
class CatalogueStats:
    """The totals, and when a delivery was last turned away, by whether its token was made like Vonage's."""

    totals: Totals
    refused_at: Mapping[bool, datetime]


def count(
    database: Database, deadline: Deadline | None = None, *, clock: Callable[[], datetime] = utc_now
) -> CatalogueStats:
    """All of it in one view. Raises `CatalogueUnavailable`, at the deadline at the latest."""
    with database.read(deadline) as connection:
        refused_at = {row.worth > 0: row.received_at for row in connection.execute(_REFUSED_TIMES)}
        return CatalogueStats(_totals(connection, clock()), refused_at)


def totals(database: Database, *, few: int = _FEW, clock: Callable[[], datetime] = utc_now) -> Totals:
    """How much there is of everything; fewer recordings than `few` are counted anew. Raises `CatalogueUnavailable`."""
    with database.read() as connection:
        now = clock()
        written = _totals(connection, now)
        return _counted(connection, now) if written.recordings < few else written


def write_figures(database: Database, *, clock: Callable[[], datetime] = utc_now) -> bool:
    """Count everything and write it down, unless another worker has just done so; returns whether it was done."""
    with database.read() as connection:
        row = connection.execute(_FIGURES).first()
        if row is not None and abs(clock() - row.counted_at) < _JUST_NOW:
            return False
        now = clock()
        values = {"counted_at": now, "document": _document(_counted(connection, now))}
    statement = database.insert(figures).values(id=_THE_ROW, **values)
    with database.write() as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
    return True


def _totals(connection: Connection, now: datetime) -> Totals:
    row = connection.execute(_FIGURES).first()
    if row is None or abs(now - row.counted_at) > _FRESH:  # in the future, by a clock that is wrong
        return _counted(connection, now)
    return _from_document(row.document, max(0.0, (now - row.counted_at).total_seconds()))


def _counted(connection: Connection, now: datetime) -> Totals:
    rows = connection.execute(_COPIES).all()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Totals(
        connection.execute(_RECORDINGS).scalar_one(),
        {(row.storage, State(row.state)): row.number for row in rows},
        {(row.storage, State(row.state)): int(row.bytes) for row in rows if row.bytes},
        recordings_by_day(connection, midnight - timedelta(days=DAYS - 1)),
    )


def _document(counted: Totals) -> str:
    keys = counted.copies
    rows = [[storage, state, keys[storage, state], counted.bytes.get((storage, state), 0)] for storage, state in keys]
    days = {day.isoformat(): numbers for day, numbers in counted.days.items()}
    return json.dumps({"recordings": counted.recordings, "copies": rows, "days": days})


def _from_document(document: str, age: float) -> Totals:
    written = json.loads(document)
    rows = [((storage, State(state)), number, size) for storage, state, number, size in written["copies"]]
    copies_by_key = {key: number for key, number, _ in rows}
    bytes_by_key = {key: size for key, _, size in rows if size}
    days = {
        date.fromisoformat(day): {State(state): number for state, number in numbers.items()}
        for day, numbers in written.get("days", {}).items()  # a worker of a former version wrote none
    }
    return Totals(written["recordings"], copies_by_key, bytes_by_key, days, age)
