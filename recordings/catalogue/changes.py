"""How a worker learns that another process has committed something.

Postgres sends a notification: the transaction that makes copies due calls NOTIFY, and each worker process has one
connection that calls LISTEN. SQLite is polled: `PRAGMA data_version` changes with each commit of another connection,
and costs some microseconds. Both are only hints, because a pooler such as PgBouncer does not pass notifications on:
workers also look for due copies by themselves.
https://www.postgresql.org/docs/current/sql-notify.html, https://sqlite.org/pragma.html#pragma_data_version
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from recordings.timeouts import REQUEST_SECONDS, Deadline

from .database import Database
from .outages import translated

_POLL_SECONDS = 0.05  # between two polls of SQLite


class Changes:
    """Waits for the commits of other processes, on a connection of its own. Use it in one thread, then `close` it.

    `patience` is the time in seconds in which the database has to give that connection.
    """

    def __init__(
        self,
        database: Database,
        *,
        patience: float = REQUEST_SECONDS,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._patience = patience
        self._ticks = ticks
        self._connection: Any = None  # the driver's own
        self._version: int | None = None

    def wait(self, seconds: float, stopping: threading.Event) -> None:
        """Return at a change, after `seconds`, or soon after `stopping`. Raises `CatalogueUnavailable`."""
        with translated():
            if self._connection is None:
                self._connection = self._database.listening(Deadline(self._patience))
            if self._database.sqlite:
                self._poll(seconds, stopping)
            else:
                self._listen(seconds, stopping)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _poll(self, seconds: float, stopping: threading.Event) -> None:
        end = self._ticks() + seconds
        while True:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            before, self._version = self._version, version
            left = end - self._ticks()
            if version != before or left <= 0 or stopping.wait(min(_POLL_SECONDS, left)):
                return

    def _listen(self, seconds: float, stopping: threading.Event) -> None:
        end = self._ticks() + seconds
        while not stopping.is_set():
            left = end - self._ticks()
            if left <= 0 or list(self._connection.notifies(timeout=min(left, 1.0), stop_after=1)):
                return
