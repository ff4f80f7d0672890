"""The connection to the catalogue's database: transactions, which wait for the schema to be up to date.

Each wait of a transaction ends at its deadline. How a database is opened stands in `engines`, how its schema is brought
up to date in `schema`, what its errors mean in `outages`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, Table, make_url, text
from sqlalchemy.exc import DBAPIError

from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline, deadline_of_reads

from . import schema
from .engines import POSTGRES_CONNECTIONS, PostgresEngine, detached, interrupted_at, sqlite_engine
from .outages import translated
from .tables import HEAD
from .watchdog import Watchdog

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

log = logging.getLogger(__name__)

LOCK_SECONDS = 4.0  # the longest wait for a lock of another process; less where the deadline is nearer
_READ_SECONDS = 30.0  # for one view of the database, where no request waits for it

CHANNEL = "tapekeeper"  # of NOTIFY: copies are due; see `changes`
_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', '')")
_NO_ROW = text("UPDATE alembic_version SET version_num = version_num WHERE 1 = 0")
_BUSY = "The database was busy until the time for this request was over."


class Database:
    """One database by its SQLAlchemy URL. Nothing is opened before the first use; safe for threads, not for forks.

    The schema is brought up to date at the first use; see `schema`. `migration_url` is another address of the same
    Postgres, past a pooler or for a user who may change tables; a schema that is up to date is not asked for there.
    `lock_seconds` bounds the wait for a lock of another process.
    """

    def __init__(self, url: str, *, migration_url: str = "", lock_seconds: float = LOCK_SECONDS) -> None:
        self.url = make_url(url)
        self._migration_url = make_url(migration_url) if migration_url else None
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._lock_seconds = lock_seconds
        self._postgres = None if self.sqlite else PostgresEngine(self.url)
        self.engine: Engine = self._postgres.engine if self._postgres else sqlite_engine(self.url, lock_seconds)
        self._watchdog = Watchdog()
        # A transaction takes a slot: SQLite has one, for its one writer; Postgres has one for each connection. Threads
        # wait for a slot until their deadline.
        self._slots = threading.BoundedSemaphore(1 if self.sqlite else POSTGRES_CONNECTIONS)
        self._write_connection: Connection | None = None
        self._lock_milliseconds = int(1000 * lock_seconds)  # for how long that connection waits for a lock
        self._ready = False
        self._preparing: Future[None] | None = None
        self._guard = threading.Lock()

    @property
    def worker_lock(self) -> Path | None:
        """The file that the web processes of this machine lock, so that one of them archives; None: each may.

        It lies beside the SQLite file, and has the same owner. On Postgres there is no such file, because several
        workers can claim copies at the same time.
        """
        return Path(f"{self.url.database}.worker") if self.sqlite else None

    @contextmanager
    def write(self, deadline: Deadline | None = None) -> Iterator[Connection]:
        """A transaction that is committed, durably, when the block ends. Raises `CatalogueUnavailable`.

        All waits together end at the deadline; without one, 8 s from now.
        """
        deadline = deadline or Deadline()
        with translated():
            self._prepare(deadline)
            with self._slot(deadline), self._writer(deadline) as connection:
                yield connection

    @contextmanager
    def read(self, deadline: Deadline | None = None) -> Iterator[Connection]:
        """A consistent view that takes no write lock. Raises `CatalogueUnavailable`.

        Without a deadline it has that of `reading_until`, or 30 s.
        """
        deadline = deadline or deadline_of_reads() or Deadline(_READ_SECONDS)
        with translated():
            self._prepare(deadline)
            if self.sqlite:
                opened = self.engine.connect().execution_options(reading=True)
                with opened as connection, interrupted_at(deadline, connection):
                    yield connection
            else:
                # In Postgres' own default each statement sees what was committed before it; on SQLite the whole
                # transaction sees one state. https://www.postgresql.org/docs/current/transaction-iso.html
                with self._slot(deadline), self._on_postgres(deadline, reading=True) as connection:
                    yield connection

    def try_write(self, deadline: Deadline | None = None) -> None:
        """Raise `CatalogueUnavailable` unless the database takes writes.

        An UPDATE that touches no row is enough for a read-only file or a standby to refuse.
        """
        with self.write(deadline) as connection:
            connection.execute(_NO_ROW)

    def notify_workers(self, connection: Connection) -> None:
        """Let the commit of this transaction notify the workers of other processes that copies are due.

        On SQLite those workers poll the database; see `changes`.
        """
        if not self.sqlite:
            connection.execute(_NOTIFY)

    def listening(self, deadline: Deadline) -> Any:
        """A connection of the driver's own, which the caller closes. On Postgres it listens for notifications.

        Raises `CatalogueUnavailable` when the deadline passes first.
        """
        with translated():
            if self._postgres is None:
                return detached(self.engine)
            with self._slot(deadline):  # the pool has no connection to give but to who holds a slot
                connection = self._postgres.detached(deadline)
            try:
                with self._watchdog.watching(connection.pgconn.socket, deadline):
                    connection.autocommit = True
                    connection.execute(f"LISTEN {CHANNEL}")
            except BaseException:
                connection.close()
                raise
            return connection

    def insert(self, table: Table) -> SqliteInsert | PostgresInsert:
        """An INSERT that knows ON CONFLICT, in this database's dialect: only that one is loaded."""
        if self.sqlite:
            from sqlalchemy.dialects.sqlite import insert as insert_on_sqlite

            return insert_on_sqlite(table)
        from sqlalchemy.dialects.postgresql import insert as insert_on_postgres

        return insert_on_postgres(table)

    def migrate(self) -> tuple[str | None, str]:
        """Bring the schema up to date. Returns the revision before (None: an empty database) and after."""
        with translated(), self._slot(Deadline(_READ_SECONDS)):
            if self._migration_url is None:
                return schema.migrate(self.engine)
            before = self._revision()
            return (HEAD, HEAD) if before == HEAD else self._migrate_elsewhere(self._migration_url)

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        with suppress(CatalogueUnavailable), self._slot(Deadline()):  # a writer that hangs keeps its connection
            self._close_writer()
        self.engine.dispose()

    # --- Connections -------------------------------------------------------------------------------------------------

    @contextmanager
    def _slot(self, deadline: Deadline) -> Iterator[None]:
        """Hold a slot during the block.

        SQLite itself would let writers collide and sleep; here they wait in a queue.
        """
        if not self._slots.acquire(timeout=deadline.left()):
            raise CatalogueUnavailable(_BUSY)
        try:
            yield
        finally:
            self._slots.release()

    def _writer(self, deadline: Deadline) -> AbstractContextManager[Connection]:
        return self._on_sqlite(deadline) if self.sqlite else self._on_postgres(deadline)

    @contextmanager
    def _on_sqlite(self, deadline: Deadline) -> Iterator[Connection]:
        """A writing transaction. SQLite has one writer at a time, so one connection serves all writers.

        Taking a connection from the pool and giving it back costs as much as a statement. After an error the connection
        is not used again.
        """
        if self._write_connection is None:
            self._write_connection = self.engine.connect()
        try:
            self._limit_lock_wait(self._write_connection, deadline)
            with self._write_connection.begin():
                yield self._write_connection
        except BaseException:
            self._close_writer()
            raise

    def _limit_lock_wait(self, connection: Connection, deadline: Deadline) -> None:
        """Let SQLite wait for another process's lock until the deadline at most."""
        milliseconds = int(1000 * min(self._lock_seconds, deadline.left()))
        if milliseconds != self._lock_milliseconds:
            driver: Any = connection.connection.dbapi_connection
            driver.execute(f"PRAGMA busy_timeout={milliseconds}")
            self._lock_milliseconds = milliseconds

    def _close_writer(self) -> None:
        connection, self._write_connection = self._write_connection, None
        self._lock_milliseconds = int(1000 * self._lock_seconds)
        if connection is not None:
            connection.close()

    @contextmanager
    def _on_postgres(self, deadline: Deadline, *, reading: bool = False) -> Iterator[Connection]:
        """A transaction whose statements end at the deadline: the server ends them, or else the watchdog does."""
        with self._begin_transaction(deadline, reading) as connection, self._watched(connection, deadline):
            yield connection
            if not reading:
                connection.commit()

    def _begin_transaction(self, deadline: Deadline, reading: bool) -> Connection:
        """A connection with a transaction that has its time limits.

        A dead connection of the pool is replaced by another.
        """
        assert self._postgres is not None  # noqa: S101 - the caller has asked
        while True:
            connection = self._postgres.connect(deadline)
            if reading:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            milliseconds = max(1, int(1000 * deadline.left()))
            lock = min(milliseconds, int(1000 * self._lock_seconds))
            try:
                with self._watched(connection, deadline):
                    # For this transaction alone: PgBouncer refuses them as parameters of the connection.
                    connection.exec_driver_sql(
                        f"SET LOCAL statement_timeout={milliseconds}; SET LOCAL lock_timeout={lock}"
                    )
                return connection
            except DBAPIError as error:
                connection.close()
                if not error.connection_invalidated or not deadline.left():
                    raise

    def _watched(self, connection: Connection, deadline: Deadline) -> AbstractContextManager[None]:
        driver: Any = connection.connection.dbapi_connection
        return self._watchdog.watching(driver.pgconn.socket, deadline)

    # --- The schema --------------------------------------------------------------------------------------------------

    def _prepare(self, deadline: Deadline) -> None:
        """Wait until the schema is up to date.

        Another thread migrates it, because that may take longer than a request may.
        """
        if self._ready:
            return
        with self._guard:
            preparing = self._preparing or self._begin_migration()
        try:
            preparing.result(deadline.left())
        except TimeoutError:
            raise CatalogueUnavailable("The database's schema is still being brought up to date.") from None
        except CatalogueUnavailable as error:
            raise CatalogueUnavailable(*error.args) from None

    def _begin_migration(self) -> Future[None]:
        result: Future[None] = Future()
        migration = threading.Thread(
            target=self._migrate_into, args=(result,), name="tapekeeper-migration", daemon=True
        )
        try:
            migration.start()
        except RuntimeError as error:  # the system has no thread to give; the next use tries it again
            raise CatalogueUnavailable(f"The database's schema cannot be checked: {error}.") from None
        self._preparing = result
        return result

    def _migrate_into(self, result: Future[None]) -> None:
        try:
            self.migrate()
            self._ready = True
        except BaseException as error:
            with self._guard:
                self._preparing = None  # the next use tries it again
            result.set_exception(error)
        else:
            result.set_result(None)

    def _migrate_elsewhere(self, url: URL) -> tuple[str | None, str]:
        """Migrate by the other address of this database, once it is proven that it leads to the same tables."""
        engine = PostgresEngine(url).engine
        try:
            with engine.connect() as there, self.engine.connect() as here:
                # Twice: another process may make the first table between the two answers.
                same = any(schema.place(there) == schema.place(here) for _ in range(2))
            if not same:
                raise CatalogueUnavailable(
                    "MIGRATION_DATABASE_URL leads to another database than DATABASE_URL, or to another schema of it: "
                    "nothing was changed. Write the same database into both, give both users the same search_path, or "
                    "take MIGRATION_DATABASE_URL out."
                )
            return schema.migrate(engine)
        finally:
            engine.dispose()

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            return schema.current_revision(connection)
