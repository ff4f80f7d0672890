"""What a database's error means: it cannot be used now, or our program has a fault; and the message to show.

A driver's message quotes what the driver was given: the values of a statement, or a host name that is half of a
password. So the messages here say what kind of error it is, and never quote the driver.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recordings.errors import CatalogueUnavailable

# What Postgres' driver says of a connection that does not come about, and what it means. The first that fits counts.
# libpq gives no codes for these. https://www.postgresql.org/docs/current/libpq-status.html
_CONNECTING = (
    ("password authentication failed", "the server refuses the user or the password"),
    ("no password supplied", "the server asks for a password, and none is set"),
    ("does not exist", "the server knows no such database or user"),
    ("refused", "nothing listens at its address"),
    ("timeout", "it did not answer in time"),
    ("timed out", "it did not answer in time"),
    ("resolve", "its host name cannot be resolved"),
    ("translate host name", "its host name cannot be resolved"),
    ("too many", "the server has no connection left"),
    ("remaining connection slots", "the server has no connection left"),
    ("starting up", "the server is starting"),
    ("shutting down", "the server is shutting down"),
    ("terminating connection", "the server closed the connection"),
    ("closed the connection", "the server closed the connection"),
    ("closed unexpectedly", "the server closed the connection"),
    ("certificate", "its certificate is not accepted"),
    ("SSL", "no encrypted connection came about"),
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `CatalogueUnavailable` in place of the driver's errors that mean "not now"."""
    try:
        yield
    except CatalogueUnavailable:
        raise
    except Exception as error:
        reason = error.orig if isinstance(error, DBAPIError) and error.orig else error
        if not _passing(reason):
            raise
        # From None: no log shows the driver's error, with all that it quotes.
        raise CatalogueUnavailable(f"The database cannot be used right now: {explained(reason)}.") from None


def explained(error: BaseException) -> str:
    """The error in our words: the end of a sentence, without the driver's."""
    if isinstance(error, sqlite3.Error):
        return str(error)  # SQLite's own texts are constants
    if isinstance(error, PoolTimeout):
        return "all its connections are in use"
    if isinstance(error, PermissionError) and error.filename:
        user = os.getuid()
        return f"{error.filename}: {error.strerror}. Let the user with id {user} write there (chown {user} its folder)"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    state = getattr(error, "sqlstate", None)
    if state:
        return f"{type(error).__name__} (SQLSTATE {state})"
    message = str(error)
    meanings = (meaning for part, meaning in _CONNECTING if part in message)
    return next(meanings, f"the connection failed ({type(error).__name__})")


def _passing(error: BaseException) -> bool:
    """Operational errors (locked, full, gone) are the database's; data and programming errors are ours."""
    if isinstance(error, (PoolTimeout, OSError)):
        return True
    if isinstance(error, sqlite3.Error):
        # The bare class is what SQLite raises for a damaged file, and for one that is no database at all.
        return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError
    psycopg: Any = sys.modules.get("psycopg")  # not loaded where the catalogue is a SQLite file
    if psycopg is None:
        return False
    # Read-only: a connection to what was the primary before a failover.
    passing = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)
    return isinstance(error, passing)
