"""Copies of a SQLite catalogue as files: how one is written while others write, and how one is judged.

Where such a file lies, and how it takes the catalogue's place, is decided in `recordings.care.backup`. A catalogue on
Postgres is copied by Postgres' own tools.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recordings.errors import TapekeeperError

from .tables import HEAD, metadata

_LOCK_SECONDS = 30.0  # for a lock of another process; a writer of ours holds none for so long
_FIRST = "0001"
_HEADER = b"SQLite format 3\0"
_TABLES = {"recordings", "copies", "calls", "deliveries"}

# A connection in WAL mode holds a shared lock on these bytes of the file, as long as it is open.
# https://www.sqlite.org/src/file/src/os.h, SHARED_FIRST and SHARED_SIZE
SHARED_BYTES = (0x40000002, 510)


class BadSnapshot(TapekeeperError):
    """This file is no catalogue that can be used, or it cannot be written. The message says why."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a catalogue's file holds: its schema's revision, how many recordings, and when the newest was announced."""

    revision: str
    recordings: int
    newest: datetime | None


def write_snapshot(catalogue: Path, file: Path) -> None:
    """Copy the catalogue, as it is at one moment, into an empty file. Writers go on meanwhile.

    The file is whole and compact, with all that the catalogue's WAL holds. A copy page by page would begin anew at each
    write of another process. https://sqlite.org/lang_vacuum.html#vacuuminto
    """
    with _opened(catalogue, "mode=rw") as connection:
        try:
            connection.execute("VACUUM INTO ?", [str(file)])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise
            raise BadSnapshot(
                f"The copy cannot be written into {file.parent}: {error}. Make room there, or name a file on another "
                "disk."
            ) from error


def judge_snapshot(file: Path, name: Path | None = None) -> Snapshot:
    """What a file holds that nobody writes. Raises `BadSnapshot` unless it is a whole catalogue of a known schema.

    `name` is what people call the file. A trigger or a view would run a stranger's SQL when the program reads a table.
    """
    name = name or file
    with _opened(file, "mode=ro&immutable=1", name) as connection:
        damage = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if damage != "ok":
            raise BadSnapshot(f"{name} is damaged: {damage}. Use another backup.")
        kinds = dict(connection.execute("SELECT name, type FROM sqlite_master WHERE type != 'index'").fetchall())
        if not {"alembic_version", *_TABLES} <= kinds.keys() or set(kinds.values()) != {"table"}:
            raise BadSnapshot(f"{name} is a SQLite database, and no catalogue of Tapekeeper.")
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        revision = str(rows[0][0]) if len(rows) == 1 else ""
        if not (len(revision) == len(HEAD) and _FIRST <= revision <= HEAD):
            raise BadSnapshot(
                f"{name} is at revision {revision or 'unknown'} of the schema, and this program knows those up to "
                f"{HEAD}. Use the version of Tapekeeper that made it, or a newer one."
            )
        if revision == HEAD:
            _check_columns(connection, name)
        number, newest = connection.execute("SELECT count(*), max(received_at) FROM recordings").fetchone()
        return Snapshot(revision, number, newest and datetime.fromisoformat(newest).replace(tzinfo=UTC))


def _check_columns(connection: sqlite3.Connection, name: Path) -> None:
    """Raise `BadSnapshot` unless every table of this program's schema is there with its columns."""
    for table in metadata.tables.values():
        columns = connection.execute("SELECT name FROM pragma_table_info(?)", [table.name])
        lacking = set(table.columns.keys()) - {column for (column,) in columns}
        if lacking:
            raise BadSnapshot(
                f"{name} calls itself a catalogue of revision {HEAD}, and has no {table.name}.{min(lacking)}. Use "
                "another backup."
            )


def count_recordings(catalogue: Path) -> int:
    """How many recordings a catalogue has, with those in its WAL; an empty database has none. Raises `BadSnapshot`.

    Nothing is written. To a file without a header SQLite would do so: it deletes the WAL beside it, which may hold all
    that is left.
    """
    with catalogue.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            raise BadSnapshot(f"{catalogue} is no SQLite database.")
    with _opened(catalogue, "mode=ro") as connection:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'recordings'").fetchone()
        return connection.execute("SELECT count(*) FROM recordings").fetchone()[0] if known else 0


@contextmanager
def _opened(file: Path, how: str, name: Path | None = None) -> Iterator[sqlite3.Connection]:
    """A connection to a file that exists. Every error of SQLite becomes a `BadSnapshot`."""
    try:
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True, timeout=_LOCK_SECONDS, isolation_level=None)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise BadSnapshot(f"SQLite cannot use {name or file}: {error}.") from error
