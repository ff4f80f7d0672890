"""SQLAlchemy's engines: what makes a commit durable on SQLite, and what bounds the waits on Postgres.

SQLite runs in WAL with `synchronous=FULL` (NORMAL may lose the last commits at a power cut) and opens each writing
transaction with BEGIN IMMEDIATE: a read that later wants to write fails at once when another writer was quicker.
https://sqlite.org/wal.html, https://sqlite.org/lang_transaction.html
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event

from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline

# Connections to Postgres that one process may hold, beside the one on which a worker process listens. Transactions are
# short, so a few serve all threads; Heroku's small plans give 20 in all.
# https://devcenter.heroku.com/articles/heroku-postgres-plans
POSTGRES_CONNECTIONS = 4

# libpq knows whole seconds alone, and waits for 2 s where it is told to wait for less. With less time than this left no
# connection is begun: it would outlast the deadline by more than a second, and Vonage waits for 10 s alone.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CONNECT-TIMEOUT
_CONNECT_SECONDS = 1.0

_STEPS = 20_000  # of SQLite's virtual machine between two looks at the clock: less than a millisecond

_POSTGRES_OPTIONS = {
    "application_name": "tapekeeper",
    # A connection whose other end is gone: the kernel notices within some ten seconds, also while nothing is sent.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,  # milliseconds
    # A pooler such as PgBouncer gives each transaction another server connection, where statements that were prepared
    # before do not exist, or are another client's. https://www.psycopg.org/psycopg3/docs/advanced/prepare.html
    "prepare_threshold": None,
}


def sqlite_engine(url: URL, lock_seconds: float) -> Engine:
    """For a SQLite file, which is made with its folder when it is missing: readable for its owner and group alone."""
    engine = create_engine(
        url,
        connect_args={"timeout": lock_seconds, "check_same_thread": False},
        pool_size=32,
        hide_parameters=True,  # an error must not quote numbers and raw deliveries
    )

    @event.listens_for(engine, "do_connect")
    def _make_file(_dialect: Any, _record: Any, _args: Any, _params: Any) -> None:
        _make_private(Path(url.database or ""))

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come before ours
        _enter_wal(connection, lock_seconds)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def detached(engine: Engine) -> Any:
    """A connection of the driver's own that has left the pool, whose few connections are for transactions."""
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    return connection


@contextmanager
def interrupted_at(deadline: Deadline, connection: Connection) -> Iterator[None]:
    """End a statement of SQLite that runs beyond the deadline: it raises an error, and nothing is changed.

    https://sqlite.org/c3ref/progress_handler.html
    """
    driver: Any = connection.connection.dbapi_connection
    driver.set_progress_handler(lambda: not deadline.left(), _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


def _make_private(path: Path) -> None:
    """SQLite would make the file readable for everybody. Its `-wal` and `-shm` get the file's own mode.

    https://sqlite.org/c3ref/c_open_autoproxy.html
    """
    if path.exists():
        _check_rights(path)
        return
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))


def _check_rights(path: Path) -> None:
    """SQLite itself names neither the file nor the folder that it may not write. It needs both, for the WAL.

    The file is not opened for this: its end would end the locks of this process.
    """
    for place, needed in ((path, os.R_OK | os.W_OK), (path.parent, os.W_OK | os.X_OK)):
        if not os.access(place, needed) and not os.statvfs(place).f_flag & os.ST_RDONLY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def _enter_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Ask again while other processes hold a new database, as at the first start of several.

    To whoever changes the mode meanwhile SQLite says that it is locked, at once and whatever the timeout.
    https://sqlite.org/c3ref/busy_handler.html
    """
    end = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.02)


class PostgresEngine:
    """An engine whose `POSTGRES_CONNECTIONS` connections are made within the deadline of the thread that needs one."""

    def __init__(self, url: URL) -> None:
        self._deadlines = threading.local()
        self.engine = create_engine(
            url,
            pool_size=POSTGRES_CONNECTIONS,
            max_overflow=0,
            connect_args=_POSTGRES_OPTIONS,
            hide_parameters=True,
        )
        event.listen(self.engine, "do_connect", self._connect)

    def connect(self, deadline: Deadline) -> Connection:
        """A connection from the pool, or a new one. Raises `CatalogueUnavailable` where no time is left for that."""
        with self._until(deadline):
            return self.engine.connect()

    def detached(self, deadline: Deadline) -> Any:
        """A connection of the driver's own that has left the pool; the caller closes it. Raises as `connect` does."""
        with self._until(deadline):
            return detached(self.engine)

    @contextmanager
    def _until(self, deadline: Deadline) -> Iterator[None]:
        self._deadlines.current = deadline
        try:
            yield
        finally:
            del self._deadlines.current

    def _connect(self, dialect: Dialect, _record: Any, args: Any, params: dict[str, Any]) -> Any:
        left = getattr(self._deadlines, "current", Deadline()).left()
        if left < _CONNECT_SECONDS:
            raise CatalogueUnavailable("No time was left to connect to the database.")
        params["connect_timeout"] = max(2, int(left))
        return _in_time(lambda: dialect.connect(*args, **params), left)


def _in_time(connect: Callable[[], Any], seconds: float) -> Any:
    """The connection, made in a thread of its own. One that comes too late is closed.

    The driver's own time-out counts anew for each address of the host's name, and not at all while the name is looked
    up. https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
    """
    connecting: Future[Any] = Future()

    def run() -> None:
        try:
            connection = connect()
        except BaseException as error:
            if connecting.set_running_or_notify_cancel():
                connecting.set_exception(error)
            return
        if connecting.set_running_or_notify_cancel():
            connecting.set_result(connection)
        else:
            connection.close()

    try:
        threading.Thread(target=run, name="tapekeeper-connect", daemon=True).start()
    except RuntimeError as error:  # the system has no thread to give
        raise CatalogueUnavailable(f"No connection to the database can be begun: {error}.") from None
    try:
        return connecting.result(seconds)
    except TimeoutError:
        if connecting.cancel():
            raise CatalogueUnavailable("The database did not answer in time; no connection came about.") from None
        return connecting.result()  # it came at the last moment
