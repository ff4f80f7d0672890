"""A migration on Postgres while the former release serves: it gives way, tries again, and may have its own address."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from sqlalchemy import text

from recordings.catalogue import schema
from recordings.catalogue.database import LOCK_SECONDS
from recordings.catalogue.tables import HEAD
from recordings.errors import CatalogueUnavailable
from tests.docs.pages import sources
from tests.fixtures.schemas.dumps import load
from tests.fixtures.schemas.make import FOLDER
from tests.services.databases import NotInstalled, new_database
from tests.services.migrators import migrate_at_once
from tests.services.pgbouncer import PrivatePgBouncer
from tests.services.servers import (  # noqa: F401 - fixtures
    give_up,
    postgres_server_url,
    postgres_url,
    private_postgres,
    sqlalchemy_url,
)

# Rows that 0.1.0 left: on them every migration has something to change.
OLD = (FOLDER / "0.1.0.postgres.sql").read_text()
ONE_OF_THREE = [str(("0001", HEAD)), str((HEAD, HEAD)), str((HEAD, HEAD))]  # what three processes did with them


@pytest.fixture
def database_url(postgres_url):  # noqa: F811 - the fixture
    load(postgres_url, OLD)
    return sqlalchemy_url(postgres_url)


def revision_of(database):
    with database.engine.connect() as connection:
        return schema.current_revision(connection)


def test_a_table_that_is_in_use_is_let_go_of_and_tried_again(make_database):
    database, transaction = make_database(), ExitStack()
    reader = transaction.enter_context(make_database().engine.connect())
    reader.execute(text("SELECT count(*) FROM copies"))  # its transaction stays open
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            transaction.close()

    done = schema.migrate(database.engine, table_lock_seconds=0.05, pauses=(7, 8, 9), pause=pause)
    assert done == ("0001", HEAD)
    assert pauses == [7, 8]


def test_between_its_attempts_it_holds_nothing(make_database):
    database, other = make_database(), make_database()
    with other.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM copies"))

        def pause(_seconds):
            with other.engine.begin() as writer:
                writer.exec_driver_sql("SET LOCAL lock_timeout = 1")
                writer.execute(text("UPDATE copies SET error = 'written meanwhile' WHERE state = 'stored'"))

        with pytest.raises(CatalogueUnavailable, match="pg_stat_activity"):
            schema.migrate(database.engine, table_lock_seconds=0.05, pauses=(1,), pause=pause)
    assert revision_of(database) == "0001"
    with database.engine.connect() as connection:
        assert (
            connection.execute(text("SELECT count(*) FROM copies WHERE error = 'written meanwhile'")).scalar_one() == 3
        )


def test_a_write_that_came_after_a_waiting_migration_outwaits_it():
    """A migration waits for a table for a shorter time than a webhook does."""
    assert schema.TABLE_LOCK_SECONDS < LOCK_SECONDS


def test_another_fault_is_not_tried_again(make_database):
    database = make_database()
    with database.engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_copies_state_due_at"))
    with pytest.raises(Exception, match="ix_copies_state_due_at"):
        schema.migrate(database.engine, pauses=(1,), pause=lambda _seconds: pytest.fail("It tried again."))


# --- An address of its own --------------------------------------------------------------------------------------------


@pytest.fixture
def pooler(private_postgres):  # noqa: F811 - the fixture
    load(private_postgres.url, OLD)
    try:
        made = PrivatePgBouncer(private_postgres)
    except NotInstalled as missing:
        give_up(missing)
    with made:
        yield made


def test_the_schema_is_changed_past_the_pooler_and_used_through_it(make_database, pooler, private_postgres):  # noqa: F811
    database = make_database(sqlalchemy_url(pooler.url), migration_url=sqlalchemy_url(private_postgres.url))
    assert database.migrate() == ("0001", HEAD)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM recordings WHERE state = 'stored'")).scalar_one() == 1


def test_several_processes_may_migrate_at_once(database_url):
    assert migrate_at_once(database_url) == ONE_OF_THREE


def test_several_processes_may_migrate_at_once_through_a_pooler(pooler):
    assert migrate_at_once(sqlalchemy_url(pooler.url)) == ONE_OF_THREE


def test_a_user_without_the_right_to_change_tables_uses_what_another_one_changed(
    make_database,
    private_postgres,  # noqa: F811 - the fixture
    make_environ,
    bare_environ,
    flask_process,
    tmp_path,
):
    """As `docs/upgrade.md` says it: the rights are given once, and `flask migrate` has the address of the owner."""
    load(private_postgres.url, OLD)
    owner = make_database(sqlalchemy_url(private_postgres.url))
    page = (FOLDER.parents[2] / "docs/upgrade.md").read_text()
    with owner.engine.begin() as connection:
        connection.execute(text("CREATE ROLE app LOGIN"))
        connection.exec_driver_sql(sources(page, "sql")[0])
    as_app = private_postgres.url.replace("postgres@", "app@", 1)
    app = make_database(sqlalchemy_url(as_app))
    with pytest.raises(Exception, match="must be owner"):
        app.migrate()
    urls = {"DATABASE_URL": as_app, "MIGRATION_DATABASE_URL": private_postgres.url}
    done = flask_process(["migrate"], bare_environ | make_environ(tmp_path, **urls))
    assert done.stdout == f"The database went from 0001 to revision {HEAD}.\n", done.stderr
    app.try_write()
    with app.write() as connection:
        connection.execute(text("INSERT INTO keys (name, value) VALUES ('session', '')"))
        connection.execute(text("SELECT nextval('tokens_id_seq')"))


def test_a_schema_that_is_up_to_date_needs_no_other_address(make_database):
    make_database().migrate()
    nowhere = "postgresql+psycopg://nobody@127.0.0.1:1/nowhere"
    assert make_database(migration_url=nowhere).migrate() == (HEAD, HEAD)


def test_another_database_in_the_place_of_ours_is_noticed(make_database, postgres_server_url):  # noqa: F811
    url, drop = new_database(postgres_server_url)
    database = make_database(migration_url=sqlalchemy_url(url))
    with pytest.raises(CatalogueUnavailable, match="MIGRATION_DATABASE_URL leads to another database"):
        database.migrate()
    assert revision_of(database) == "0001"
    drop()
