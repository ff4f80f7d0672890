"""The connection to the catalogue's database: settings that make a commit durable, and the schema's migrations.

SQLite runs in WAL with `synchronous=FULL` (NORMAL may lose the last commits at a power cut) and opens each writing
transaction with BEGIN IMMEDIATE: a read that later wants to write fails at once when another writer was quicker.
https://sqlite.org/wal.html, https://sqlite.org/lang_transaction.html
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline

from .tables import HEAD

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x7461_7065  # "tape": any number that nobody else on this Postgres locks

# A transaction waits so long, in seconds, for a lock of another process, for a connection, and for the server's answer
# to a connection attempt; less where its deadline is nearer.
_LOCK_SECONDS = 4.0

# Connections to Postgres that one process may hold, beside the one on which a worker process listens. Transactions are
# short, so a few serve all threads; Heroku's small plans give 20 in all.
# https://devcenter.heroku.com/articles/heroku-postgres-plans
_POOL, _POOL_MORE = 2, 2

CHANNEL = "tapekeeper"  # of NOTIFY: copies are due; see `changes`


class Database:
    """One database by its SQLAlchemy URL. Nothing is opened before the first use; safe for threads, not for forks.

    `lock_seconds` bounds the wait for a lock of another process.

    The schema is brought up to date at the first use, under a lock that all processes share.
    """

    def __init__(self, url: str, *, lock_seconds: float = _LOCK_SECONDS) -> None:
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._lock_seconds = lock_seconds
        self.engine = _sqlite_engine(url, lock_seconds) if self.sqlite else _postgres_engine(url)
        self._writing = threading.Lock() if self.sqlite else None
        self._write_connection: Connection | None = None
        self._lock_milliseconds = int(1000 * lock_seconds)  # for how long that connection waits for a lock
        # In Postgres' own default each statement sees what was committed before it; on SQLite the whole transaction
        # sees one state. https://www.postgresql.org/docs/current/transaction-iso.html
        self._reading: dict[str, Any] = {"reading": True}
        if not self.sqlite:
            self._reading["isolation_level"] = "REPEATABLE READ"
        self._ready = False
        self._preparing = threading.Lock()

    @property
    def worker_lock(self) -> Path | None:
        """The file that the web processes of this machine lock, so that one of them archives; None: each may.

        It lies beside the SQLite file, with the same owner and the same life. On Postgres the claims of several workers
        pass each other by.
        """
        return Path(f"{self.url.database}.worker") if self.sqlite else None

    @contextmanager
    def write(self, deadline: Deadline | None = None) -> Iterator[Connection]:
        """A transaction that is committed, durably, when the block ends. Raises `CatalogueUnavailable`.

        All waits together end at the deadline; without one, 8 s from now.
        """
        deadline = deadline or Deadline()
        with _translated():
            self._prepare(deadline)
            with self._turn(deadline), self._writer(deadline) as connection, connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view that takes no write lock. Raises `CatalogueUnavailable`."""
        with _translated():
            self._prepare(Deadline())
            with self.engine.connect().execution_options(**self._reading) as connection:
                yield connection

    def tell_others(self, connection: Connection) -> None:
        """Let this transaction, once it is committed, tell the workers of other processes that copies are due.

        On SQLite the workers ask for themselves; see `changes`.
        """
        if not self.sqlite:
            connection.execute(_NOTIFY)

    @staticmethod
    @contextmanager
    def translated() -> Iterator[None]:
        """Turn the driver's errors that mean "not now" into `CatalogueUnavailable`."""
        with _translated():
            yield

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT, in this database's dialect."""
        return sqlite.insert(table) if self.sqlite else postgresql.insert(table)

    def migrate(self) -> tuple[str | None, str]:
        """Bring the schema up to date. Returns the revision before (None: an empty database) and after."""
        with _translated(), self._turn(Deadline()), self._opened() as connection:
            if not self.sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            before = _revision(connection)
            if before is None or before < HEAD:
                _upgrade(connection)
            elif before > HEAD:
                log.warning(
                    "The database is at revision %s, newer than this program's %s: used as it is.", before, HEAD
                )
            return before, _revision(connection) or HEAD

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        with suppress(CatalogueUnavailable), self._turn(Deadline()):  # a writer that hangs keeps its own
            self._close_writer()
        self.engine.dispose()

    @contextmanager
    def _writer(self, deadline: Deadline) -> Iterator[Connection]:
        """A connection to write with. SQLite has one writer at a time, so one connection serves all writers.

        Taking a connection from the pool and giving it back costs as much as a statement. After an error the connection
        is not used again.
        """
        if not self.sqlite:
            with self.engine.connect() as connection:
                yield connection
            return
        if self._write_connection is None:
            self._write_connection = self.engine.connect()
        try:
            self._limit_lock_wait(self._write_connection, deadline)
            yield self._write_connection
        except BaseException:
            self._close_writer()
            raise

    def _limit_lock_wait(self, connection: Connection, deadline: Deadline) -> None:
        """Let SQLite wait for another process's lock until the deadline at most."""
        milliseconds = int(1000 * min(self._lock_seconds, deadline.left()))
        if milliseconds != self._lock_milliseconds:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={milliseconds}")
            self._lock_milliseconds = milliseconds

    def _close_writer(self) -> None:
        connection, self._write_connection = self._write_connection, None
        self._lock_milliseconds = int(1000 * self._lock_seconds)
        if connection is not None:
            connection.close()

    @contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[None]:
        """SQLite lets writers collide and sleep; within a process they queue here instead, until their deadline."""
        if self._writing is None:
            yield
        elif not self._writing.acquire(timeout=deadline.left()):
            raise CatalogueUnavailable("The database was busy until the time for this request was over.")
        else:
            try:
                yield
            finally:
                self._writing.release()

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        if self.sqlite:
            Path(self.url.database or ".").parent.mkdir(parents=True, exist_ok=True)
        with self.engine.begin() as connection:
            yield connection

    def _prepare(self, deadline: Deadline) -> None:
        if self._ready:
            return
        if not self._preparing.acquire(timeout=min(self._lock_seconds, deadline.left())):
            raise CatalogueUnavailable("The database's schema is being brought up to date, which takes a while.")
        try:
            if not self._ready:
                self.migrate()
                self._ready = True
        finally:
            self._preparing.release()


def _sqlite_engine(url: str, lock_seconds: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": lock_seconds, "check_same_thread": False}, pool_size=32)

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


def _enter_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Ask again while others hold a new database, as at the first start of several processes.

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


def _postgres_engine(url: str) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=_POOL,
        max_overflow=_POOL_MORE,
        pool_timeout=_LOCK_SECONDS,
        connect_args=_POSTGRES_OPTIONS,
    )


_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', '')")

_POSTGRES_OPTIONS = {
    "connect_timeout": int(_LOCK_SECONDS),
    # A half-open connection must not hang a webhook: the kernel gives up after as long as we would.
    "tcp_user_timeout": int(_LOCK_SECONDS * 1000),
    "application_name": "tapekeeper",
}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except CatalogueUnavailable:
        raise
    except Exception as error:
        reason = error.orig if isinstance(error, DBAPIError) and error.orig else error
        if not _unavailable(reason):
            raise
        raise CatalogueUnavailable(f"The database cannot be used right now: {str(reason).strip()}") from error


def _unavailable(error: BaseException) -> bool:
    """Operational errors (locked, full, gone) are the database's; data and programming errors are ours."""
    if isinstance(error, (PoolTimeout, OSError)):
        return True
    if isinstance(error, sqlite3.Error):
        # The bare class is what SQLite raises for a damaged file, and for one that is no database at all.
        return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError
    psycopg = sys.modules.get("psycopg")  # not loaded where the catalogue is a SQLite file
    if psycopg is None:
        return False
    # Read-only: a connection to what was the primary before a failover.
    passing = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)
    return isinstance(error, passing)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    # Loaded only here: Alembic takes longer to import than an up-to-date database takes to be checked.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
