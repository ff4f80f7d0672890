"""Which workers live: each writes a sign of life now and then, and every process can see it.

So a web process knows whether anything archives at all, also on another host.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from recordings.clock import utc_now

from .database import Database
from .tables import workers

SIGN_SECONDS = 15.0  # between two signs of life
LIVE_SECONDS = 60.0  # a worker that was not seen for so long counts as gone
_FORGOTTEN = timedelta(days=1)


class Workers:
    """The signs of life in one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock
        self._id = uuid.uuid4().hex
        self._started_at = clock()

    def sign(self) -> None:
        """Say that the worker of this process lives. Workers that were not seen for a day are forgotten."""
        now = self._clock()
        row = {"id": self._id, "host": socket.gethostname()[:255], "pid": os.getpid(), "started_at": self._started_at}
        statement = self.database.insert(workers).values(row | {"seen_at": now})
        with self.database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))
            connection.execute(delete(workers).where(workers.c.seen_at < now - _FORGOTTEN))

    def leave(self) -> None:
        """The worker of this process ends in order."""
        with self.database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == self._id))

    def living(self) -> int:
        """How many workers were seen within the last minute."""
        since = self._clock() - timedelta(seconds=LIVE_SECONDS)
        with self.database.read() as connection:
            query = select(func.count()).select_from(workers).where(workers.c.seen_at >= since)
            return connection.execute(query).scalar_one()
