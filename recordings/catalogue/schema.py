"""Brings the schema of a database up to date: in one transaction, under a lock that all processes share.

A new release migrates while the former one still serves. On Postgres a statement that changes a table waits for every
transaction that uses the table, and whatever comes later waits behind that statement, webhooks too. So a migration
waits for a table for a moment only, lets go of everything, and tries again after a pause.
https://www.postgresql.org/docs/current/explicit-locking.html
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from recordings.errors import CatalogueUnavailable

from .tables import HEAD

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x7461_7065  # "tape": any number that nobody else on this Postgres locks

# Shorter than the wait of a webhook for a lock, so that no webhook fails because of a migration that waits.
TABLE_LOCK_SECONDS = 2.0
PAUSES = (1, 2, 3, 5, 5, 10, 10, 10, 10)  # seconds between the attempts

# Of the two errors the first comes when the wait is over, the second when two transactions wait for each other.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TABLE_IN_USE = ("55P03", "40P01")


def migrate(
    engine: Engine,
    *,
    table_lock_seconds: float = TABLE_LOCK_SECONDS,
    pauses: tuple[float, ...] = PAUSES,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[str | None, str]:
    """Bring the schema up to date. Returns the revision before (None: an empty database) and after.

    Raises `CatalogueUnavailable` when other transactions kept a table at each attempt.
    """
    for seconds in (*pauses, None):
        try:
            return _attempt(engine, table_lock_seconds)
        except DBAPIError as error:
            if not _table_in_use(error):
                raise
        if seconds is not None:
            log.warning("Other transactions use a table that must change: the migration tries again in %s s.", seconds)
            pause(seconds)
    raise CatalogueUnavailable(
        "The schema was not changed: long transactions kept a table at each attempt. End them (pg_stat_activity lists "
        "them; an open psql or a backup is often one), and run flask migrate again."
    )


def current_revision(connection: Connection) -> str | None:
    """The revision that this database is at; None: it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _attempt(engine: Engine, table_lock_seconds: float) -> tuple[str | None, str]:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # While another process migrates, this one waits here without a limit, and holds nothing.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(1000 * table_lock_seconds)}")
        before = current_revision(connection)
        if before is None or before < HEAD:
            _upgrade(connection)
        elif before > HEAD:
            log.warning("The database is at revision %s, newer than this program's %s: used as it is.", before, HEAD)
        return before, current_revision(connection) or HEAD


def _table_in_use(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _TABLE_IN_USE


def _upgrade(connection: Connection) -> None:
    # Loaded only here: Alembic takes longer to import than an up-to-date database takes to be checked.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
