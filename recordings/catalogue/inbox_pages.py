"""The inbox in pages, newest first, as people look through it.

Most deliveries have no index by their outcome, so a page looks at a bounded number of rows and says how far it came.
What is done with a delivery stands in `inbox`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from recordings.errors import InvalidInput

from .database import Database
from .identity import has_uuid
from .inbox import LISTED, OUTCOMES, StoredDelivery, stored_delivery
from .tables import deliveries

_WINDOW = 20_000  # deliveries that one page looks at
_MOST_ROWS = 500


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries without their bodies, newest first.

    `before` gives the page after it; None on the last one. With `searched_to` the page may have few rows or none: it
    looked at everything since then, and the next page looks further back.
    """

    rows: tuple[StoredDelivery, ...]
    before: int | None
    searched_to: datetime | None = None


def delivery_page(
    database: Database,
    *,
    outcome: str | None = None,
    since: datetime | None = None,
    recording_uuid: str | None = None,
    before: int | None = None,
    limit: int = 50,
    window: int = _WINDOW,
) -> DeliveryPage:
    """The newest deliveries that agree with all that is given, whose number is below `before`. Raises `InvalidInput`.

    Those of one recording have an index: a page of them looks at all rows.
    """
    if outcome is not None and outcome not in OUTCOMES:
        raise InvalidInput(f"There is no outcome {outcome!r}: write one of {', '.join(OUTCOMES)}.")
    if not 1 <= limit <= _MOST_ROWS:
        raise InvalidInput(f"The limit is a whole number from 1 to {_MOST_ROWS}.")
    with database.read() as connection:
        newest = connection.execute(select(func.max(deliveries.c.id))).scalar() or 0
        end = newest + 1 if before is None else min(before, newest + 1)
        begin = 0 if recording_uuid else max(0, end - window)
        query = LISTED.where(deliveries.c.id < end, deliveries.c.id >= begin)
        if outcome is not None:
            query = query.where(deliveries.c.outcome == outcome)
        if since is not None:
            query = query.where(deliveries.c.received_at >= since)
        if recording_uuid is not None:
            query = query.where(has_uuid(recording_uuid))
        rows = connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit + 1)).all()
        page = tuple(stored_delivery(row, b"") for row in rows[:limit])
        if len(rows) > limit:
            return DeliveryPage(page, page[-1].id)
        older = (
            select(deliveries.c.received_at).where(deliveries.c.id < begin).order_by(deliveries.c.id.desc()).limit(1)
        )
        searched_to = connection.execute(older).scalar()
    if since is not None and searched_to is not None and searched_to < since:
        searched_to = None
    return DeliveryPage(page, begin if searched_to else None, searched_to)
