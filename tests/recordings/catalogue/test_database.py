"""What makes a commit durable, how the schema comes to be, and what is said of a database that cannot be used."""

from __future__ import annotations

import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text

from recordings.catalogue.database import Database
from recordings.catalogue.schema import MIGRATIONS
from recordings.catalogue.tables import HEAD, deliveries, metadata
from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline, reading_until
from tests.services.migrators import migrate_at_once


def a_row():
    return {
        "received_at": datetime(2026, 11, 22, tzinfo=UTC),
        "route": "events",
        "method": "POST",
        "query": "",
        "content_type": "",
        "body": b"",
        "application_id": "a",
        "signed": True,
        "outcome": "noted",
    }


@pytest.fixture
def database(make_database):
    """Here the file does not exist yet."""
    return make_database()


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
def test_every_connection_is_durable(database, pragma, value):
    with database.read() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value


def test_a_writing_transaction_holds_the_lock_from_its_first_moment(database, tmp_path):
    database.migrate()
    other = sqlite3.connect(tmp_path / "catalogue.db", timeout=0, isolation_level=None)
    with database.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_reader_neither_waits_for_a_writer_nor_stops_one(database):
    database.migrate()
    with database.read() as reader:
        assert reader.execute(select(deliveries)).all() == []
        with database.write() as writer:
            writer.execute(insert(deliveries), a_row())
        assert reader.execute(select(deliveries)).all() == []  # its view stays the one it began with


def test_what_fails_inside_a_transaction_leaves_nothing(database):
    def fail():
        with database.write() as connection:
            connection.execute(insert(deliveries), a_row())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert connection.execute(select(deliveries)).all() == []


def test_the_files_are_readable_for_their_owner_and_group_alone(make_database, tmp_path):
    database = make_database(f"sqlite:///{tmp_path}/deep/down/catalogue.db")
    with database.write() as connection:
        connection.execute(insert(deliveries), a_row())
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "deep/down").iterdir()}
    assert modes == dict.fromkeys(("catalogue.db", "catalogue.db-wal", "catalogue.db-shm"), 0o640)
    assert (tmp_path / "deep/down").stat().st_mode & 0o777 == 0o750


def test_nothing_is_opened_before_the_first_use(make_database, tmp_path):
    make_database(f"sqlite:///{tmp_path}/deep/down/catalogue.db")
    assert list(tmp_path.iterdir()) == []


# --- Migrations -------------------------------------------------------------------------------------------------------


def test_it_migrates_from_nothing_and_then_finds_nothing_to_do(make_database):
    assert make_database().migrate() == (None, HEAD)
    assert make_database().migrate() == (HEAD, HEAD)


def test_the_first_use_migrates_by_itself(database):
    with database.read() as connection:
        assert inspect(connection).has_table("copies")


def test_several_processes_may_migrate_at_once(database_url):
    assert migrate_at_once(database_url) == [str((HEAD, HEAD)), str((HEAD, HEAD)), str((None, HEAD))]


def test_a_new_database_that_another_process_fills_is_waited_for(database, tmp_path):
    other = sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # not in WAL mode yet
    threading.Timer(0.2, other.close).start()
    assert database.migrate() == (None, HEAD)


def test_a_database_that_stays_locked_is_not_waited_for_for_ever(database_url, tmp_path):
    database = Database(database_url, lock_seconds=0.1)
    other = sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogueUnavailable, match="locked"):
        database.migrate()
    other.close()
    database.close()


def test_the_waits_of_a_transaction_end_together_at_its_deadline(database, tmp_path):
    database.migrate()
    other = sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    deadline = Deadline(0.2)
    with ThreadPoolExecutor(4) as pool:
        waits = [pool.submit(write_once, database, deadline) for _ in range(4)]
        errors = [future.exception(10) for future in waits]
    assert [type(error) for error in errors] == [CatalogueUnavailable] * 4
    assert deadline.left() == 0
    other.close()
    assert write_once(database, Deadline()) == 1  # the next transaction has all its time again


def write_once(database, deadline):
    with database.write(deadline) as connection:
        return connection.execute(text("SELECT 1")).scalar()


def test_the_migrations_make_just_these_tables(database):
    database.migrate()
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_the_one_that_the_tables_name():
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_a_database_of_a_newer_program_is_used_as_it_is(make_database, caplog):
    first = make_database()
    first.migrate()
    with first.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with caplog.at_level(logging.WARNING):
        assert make_database().migrate() == ("9999", "9999")
    assert "newer" in caplog.text


# --- Databases that cannot be used ------------------------------------------------------------------------------------


def a_folder(path):
    path.mkdir()


def other_bytes(path):
    path.write_bytes(b"this is no database, whatever its name says. " * 100)


def parent_is_a_file(path):
    path.parent.rmdir()
    path.parent.write_text("")


@pytest.mark.parametrize("spoil", [a_folder, other_bytes, parent_is_a_file])
def test_an_unusable_file_is_a_catalogue_that_is_unavailable(make_database, tmp_path, spoil):
    path = tmp_path / "folder" / "catalogue.db"
    path.parent.mkdir()
    spoil(path)
    database = make_database(f"sqlite:///{path}")
    for use in (database.read, database.write):
        with pytest.raises(CatalogueUnavailable, match="cannot be used right now") as caught, use():
            pass
        assert caught.value.retryable


def test_a_damaged_file_is_a_catalogue_that_is_unavailable(make_database, tmp_path):
    first = make_database()
    first.migrate()
    first.close()
    path = tmp_path / "catalogue.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(CatalogueUnavailable), make_database().read() as connection:
        connection.execute(select(deliveries)).all()


def test_it_heals_when_the_file_does(make_database, tmp_path):
    path = tmp_path / "catalogue.db"
    path.mkdir()
    database = make_database()
    with pytest.raises(CatalogueUnavailable), database.read():
        pass
    path.rmdir()
    assert database.migrate() == (None, HEAD)


def test_a_fault_of_ours_is_not_called_unavailable(database):
    with pytest.raises(Exception, match="NOT NULL") as caught, database.write() as connection:
        connection.execute(insert(deliveries), a_row() | {"route": None})
    assert not isinstance(caught.value, CatalogueUnavailable)


def test_a_first_use_that_found_no_thread_is_tried_again_by_the_next(database, without_threads):
    with without_threads(), pytest.raises(CatalogueUnavailable, match="thread"):
        database.try_write()
    database.try_write()


def test_a_view_ends_at_its_deadline_and_the_next_is_whole(database):
    endless = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    database.try_write()
    with pytest.raises(CatalogueUnavailable, match="interrupted"), database.read(Deadline(0.1)) as connection:
        connection.execute(endless)
    with database.read() as connection:
        assert connection.execute(select(deliveries)).all() == []


@pytest.mark.timeout(25)  # without a deadline a view has 30 s
def test_a_view_without_a_deadline_of_its_own_ends_at_that_of_the_nearest_block(database):
    endless = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    database.try_write()
    with reading_until(Deadline(60)), reading_until(Deadline(0.1)):
        with pytest.raises(CatalogueUnavailable, match="interrupted"), database.read() as connection:
            connection.execute(endless)
        with database.read(Deadline(60)) as connection:
            assert connection.execute(select(deliveries)).all() == []
