"""The connection to the catalogue's database: settings that make a commit durable, and the schema's migrations.

SQLite runs in WAL with `synchronous=FULL` (NORMAL may lose the last commits at a power cut) and opens each writing
transaction with BEGIN IMMEDIATE: a read that later wants to write fails at once when another writer was quicker.
https://sqlite.org/wal.html, https://sqlite.org/lang_transaction.html
"""

from __future__ import annotations

import logging
import sqlite3
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

from .tables import HEAD

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x7461_7065  # "tape": any number that nobody else on this Postgres locks

# An event webhook may wait twice, for its turn and for the database: less than the 10 s after which Vonage gives up, so
# that it hears our 503. https://api.support.vonage.com/hc/en-us/articles/17498678806044
_WAIT_SECONDS = 4

# Connections to Postgres that one process may hold, beside one for a queue in the same database. Transactions are
# short, so a few serve all threads; Heroku's small plans give 20 in all.
_POOL, _POOL_MORE = 2, 2


class Database:
    """One database by its SQLAlchemy URL. Nothing is opened before the first use; safe for threads, not for forks.

    The schema is brought up to date at the first use, under a lock that all processes share.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.sqlite else _postgres_engine(url)
        self._writing = threading.Lock() if self.sqlite else None
        self._kept: Connection | None = None
        # In Postgres' own default each statement sees what was committed before it; on SQLite the whole transaction
        # sees one state. https://www.postgresql.org/docs/current/transaction-iso.html
        self._reading: dict[str, Any] = {"reading": True}
        if not self.sqlite:
            self._reading["isolation_level"] = "REPEATABLE READ"
        self._ready = False
        self._preparing = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed, durably, when the block ends. Raises `CatalogueUnavailable`."""
        with _translated():
            self._prepare()
            with self._turn(), self._writer() as connection, connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view that takes no write lock. Raises `CatalogueUnavailable`."""
        with _translated():
            self._prepare()
            with self.engine.connect().execution_options(**self._reading) as connection:
                yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT, in this database's dialect."""
        return sqlite.insert(table) if self.sqlite else postgresql.insert(table)

    def migrate(self) -> tuple[str | None, str]:
        """Bring the schema up to date. Returns the revision before (None: an empty database) and after."""
        with _translated(), self._turn(), self._opened() as connection:
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
        with suppress(CatalogueUnavailable), self._turn():  # a writer that hangs keeps its own
            self._put_away()
        self.engine.dispose()

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        """A connection to write with. SQLite has one writer at a time, so the same one serves them all.

        Taking it from the pool and giving it back costs as much as one of its statements. After an error it is not
        used again.
        """
        if not self.sqlite:
            with self.engine.connect() as connection:
                yield connection
            return
        if self._kept is None:
            self._kept = self.engine.connect()
        try:
            yield self._kept
        except BaseException:
            self._put_away()
            raise

    def _put_away(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite lets writers collide and sleep; within a process they queue here instead, and not for ever."""
        if self._writing is None:
            yield
        elif not self._writing.acquire(timeout=_WAIT_SECONDS):
            raise CatalogueUnavailable(f"The database was busy for {_WAIT_SECONDS} s.")
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

    def _prepare(self) -> None:
        if self._ready:
            return
        if not self._preparing.acquire(timeout=_WAIT_SECONDS):
            raise CatalogueUnavailable(f"The database could not be prepared within {_WAIT_SECONDS} s.")
        try:
            if not self._ready:
                self.migrate()
                self._ready = True
        finally:
            self._preparing.release()


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False}, pool_size=32)

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come before ours
        _enter_wal(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Ask again while others hold a new database, as at the first start of several processes.

    To whoever changes the mode meanwhile SQLite says that it is locked, at once and whatever the timeout.
    https://sqlite.org/c3ref/busy_handler.html
    """
    end = time.monotonic() + _WAIT_SECONDS
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
        pool_timeout=_WAIT_SECONDS,
        connect_args=_POSTGRES_OPTIONS,
    )


_POSTGRES_OPTIONS = {
    "connect_timeout": _WAIT_SECONDS,
    # A half-open connection must not hang a webhook: the kernel gives up after as long as we would.
    "tcp_user_timeout": _WAIT_SECONDS * 1000,
    "application_name": "tapekeeper",
}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout, OSError) as error:
        if isinstance(error, DBAPIError) and not _unavailable(error.orig):
            raise
        reason = getattr(error, "orig", None) or error
        raise CatalogueUnavailable(f"The database cannot be used right now: {str(reason).strip()}") from error


def _unavailable(error: BaseException | None) -> bool:
    """Operational errors (locked, full, gone) are the database's; data and programming errors are ours."""
    if isinstance(error, sqlite3.Error):
        # The bare class is what SQLite raises for a damaged file, and for one that is no database at all.
        return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError
    import psycopg

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
