"""The catalogue in numbers, for a monitor that asks every few seconds.

Stored copies are counted without reading their rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from recordings.model import State
from recordings.timeouts import Deadline

from .database import Database
from .tables import REFUSED, copies, deliveries, recordings

_OPEN = [state.value for state in State if state is not State.STORED]

# Nearly all copies are stored. So only the other states are counted, and the stored copies are the rest of the total.
_NUMBER = func.count().label("number")
_COPIES = select(copies.c.storage, _NUMBER).group_by(copies.c.storage)
_NOT_STORED = (
    select(*copies.c["storage", "state"], _NUMBER)
    .where(copies.c.state.in_(_OPEN))
    .group_by(*copies.c["storage", "state"])
)
_RECORDINGS = select(func.count()).select_from(recordings)
_REFUSED_LAST = select(func.max(deliveries.c.id).label("id")).where(REFUSED).group_by(deliveries.c.worth).subquery()
_REFUSED_TIMES = (
    select(*deliveries.c["worth", "received_at"])
    .join(_REFUSED_LAST, deliveries.c.id == _REFUSED_LAST.c.id)
    .order_by(deliveries.c.received_at)
)


@dataclass(frozen=True, slots=True)
class CatalogueStats:
    """`copies` is the number of copies by (storage, state), without the numbers that are 0.

    `refused_at`: when a delivery was last turned away, by whether its token was made like Vonage's.
    """

    recordings: int
    refused_at: Mapping[bool, datetime]
    copies: Mapping[tuple[str, State], int]


def count(database: Database, deadline: Deadline | None = None) -> CatalogueStats:
    """Count everything in one transaction. Raises `CatalogueUnavailable`, at the deadline at the latest."""
    with database.read(deadline) as connection:
        totals = {row.storage: row.number for row in connection.execute(_COPIES)}
        counts = {(row.storage, State(row.state)): row.number for row in connection.execute(_NOT_STORED)}
        known = connection.execute(_RECORDINGS).scalar_one()
        refused_at = {row.worth > 0: row.received_at for row in connection.execute(_REFUSED_TIMES)}
    for storage, total in totals.items():
        stored = total - sum(number for (where, _), number in counts.items() if where == storage)
        if stored:
            counts[storage, State.STORED] = stored
    return CatalogueStats(known, refused_at, counts)
