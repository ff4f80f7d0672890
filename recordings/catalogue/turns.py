"""Whose turn it is to do what only one process at a time should do.

Each of these works has a row in `figures`, which holds when a process last took its turn.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import or_

from .database import Database
from .tables import figures

NIGHTLY_LIST, EXAMINATION = 2, 4  # the rows of `figures`


def take_turn(database: Database, work: int, now: datetime, length: timedelta) -> bool:
    """Whether this process may do the work now. For this time no other process may."""
    statement = database.insert(figures).values(id=work, counted_at=now, document="")
    free = or_(figures.c.counted_at <= now - length, figures.c.counted_at > now + length)  # or a clock was wrong
    statement = statement.on_conflict_do_update(index_elements=["id"], set_={"counted_at": now}, where=free)
    with database.write() as connection:
        return connection.execute(statement.returning(figures.c.id)).first() is not None
