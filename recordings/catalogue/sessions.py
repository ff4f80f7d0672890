"""The sessions that somebody has ended by signing out, so that a copy of their cookie opens nothing any more.

A session itself lives in its cookie, which is signed and names the session. A row is needed until the cookie would have
become too old by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from recordings.clock import utc_now

from .database import Database
from .tables import ended_sessions

LONGEST = timedelta(days=7)  # of a session, however busy it is
_MARGIN = timedelta(days=1)  # the clocks of two machines may differ


class Sessions:
    """The ends of the sessions in one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock

    def new_id(self) -> str:
        """The name of a session that begins. Nothing is written."""
        return secrets.token_hex(16)

    def end(self, session_id: str) -> None:
        """From now on this session is over, in all processes. The ends of sessions that are too old are forgotten."""
        now = self._clock()
        statement = self.database.insert(ended_sessions).values(id=session_id, ended_at=now)
        with self.database.write() as connection:
            connection.execute(statement.on_conflict_do_nothing(index_elements=["id"]))
            connection.execute(delete(ended_sessions).where(ended_sessions.c.ended_at < now - LONGEST - _MARGIN))

    def has_ended(self, session_id: str) -> bool:
        """Whether somebody has ended this session."""
        query = select(ended_sessions.c.id).where(ended_sessions.c.id == session_id)
        with self.database.read() as connection:
            return connection.execute(query).first() is not None
