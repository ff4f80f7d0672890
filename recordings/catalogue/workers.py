"""Which workers live: each writes a sign of life now and then, and every process can see it.

So a web process knows whether anything archives at all, also on another host.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select

from recordings.clock import utc_now
from recordings.timeouts import Deadline

from .database import Database
from .tables import workers

SIGN_SECONDS = 15.0  # between two signs of life
LIVE_SECONDS = 60.0  # a worker that was not seen for so long counts as gone
_FORGOTTEN = timedelta(days=1)
_LEAVE_SECONDS = 2.0  # a process that stops has no time for a database that is away


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker that gave a sign of life within the last day. `lives`: within the last minute."""

    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    lives: bool


class Workers:
    """The signs of life in one database. Raises `CatalogueUnavailable` as the database does."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock
        self._row: dict[str, Any] | None = None

    def sign(self) -> None:
        """Say that the worker of this process lives. Workers that were not seen for a day are forgotten."""
        now = self._clock()
        if self._row is None or self._row["pid"] != os.getpid():  # a process that was forked is a worker of its own
            host = socket.gethostname()[:255]
            self._row = {"id": uuid.uuid4().hex, "host": host, "pid": os.getpid(), "started_at": now}
        statement = self.database.insert(workers).values(self._row | {"seen_at": now})
        with self.database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))
            connection.execute(delete(workers).where(workers.c.seen_at < now - _FORGOTTEN))

    def leave(self) -> None:
        """The worker of this process ends in order. Nothing is written where it gave no sign of life."""
        row, self._row = self._row, None
        if row is None or row["pid"] != os.getpid():
            return
        with self.database.write(Deadline(_LEAVE_SECONDS)) as connection:
            connection.execute(delete(workers).where(workers.c.id == row["id"]))

    def seen(self, most: int = 100) -> list[WorkerSeen]:
        """The workers of the last day that did not end in order; those that were seen last come first."""
        since = self._clock() - timedelta(seconds=LIVE_SECONDS)
        query = select(*workers.c["host", "pid", "started_at", "seen_at"])
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(workers.c.seen_at.desc()).limit(most)).all()
        return [WorkerSeen(row.host, row.pid, row.started_at, row.seen_at, row.seen_at >= since) for row in rows]

    def living(self, deadline: Deadline | None = None) -> int:
        """How many workers were seen within the last minute."""
        since = self._clock() - timedelta(seconds=LIVE_SECONDS)
        with self.database.read(deadline) as connection:
            query = select(func.count()).select_from(workers).where(workers.c.seen_at >= since)
            return connection.execute(query).scalar_one()
