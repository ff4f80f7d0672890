"""`flask backup` and `flask restore`: whole files, nothing written over, nothing lost, and refusals that say why."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from recordings.catalogue.tables import HEAD
from tests.chaos import mounts
from tests.services.databases import NotInstalled
from tests.services.servers import give_up


@pytest.fixture
def folder(tmp_path):
    """Where the deployment's catalogue lies."""
    return tmp_path


@pytest.fixture
def deployment(deploy):
    return deploy()


@pytest.fixture
def small_disk(tmp_path):
    """A disk that has no room for a catalogue."""
    try:
        with mounts.small_disk(tmp_path / "disk", 64):
            yield tmp_path / "disk"
    except NotInstalled as missing:
        give_up(missing)


def listed(deployment):
    return {row["recording_uuid"] for row in deployment.objects("recordings", "list")}


def test_a_backup_holds_what_was_committed_until_now_also_in_the_wal(deployment, folder):
    first, _ = deployment.announce()
    done = deployment.run("backup", folder / "copy.db")
    assert (done.exit_code, done.stdout.split(" holds ")[1][:11]) == (0, "1 recording"), done.stderr
    assert stat.S_IMODE((folder / "copy.db").stat().st_mode) == 0o640
    assert [path.name for path in folder.glob("*copy.db*")] == ["copy.db"], "nothing is left beside it"
    deployment.announce()
    deployment.close()
    done = deployment.run("restore", "--replace", folder / "copy.db")
    assert done.exit_code == 0, done.stderr
    assert listed(deployment) == {first.recording_uuid}
    assert f"flask recordings import file://{folder}/recordings" in done.stdout


def test_a_backup_writes_over_no_file_and_leaves_none_where_it_fails(deployment, folder):
    deployment.announce()
    (folder / "copy.db").write_text("mine")
    done = deployment.run("backup", folder / "copy.db")
    assert done.exit_code == 1
    assert "is there already" in done.stderr
    assert (folder / "copy.db").read_text() == "mine"
    (folder / "link.db").symlink_to(folder / "elsewhere.db")
    assert "is there already" in deployment.run("backup", folder / "link.db").stderr
    for place in (".", "..", "/", folder):
        assert "is a folder" in deployment.run("backup", place).stderr
    assert "cannot be written" in deployment.run("backup", folder / "nowhere" / "copy.db").stderr
    assert not list(folder.glob(".*.part"))


def test_on_a_full_disk_a_backup_says_so_and_leaves_nothing_behind(deployment, folder, small_disk):
    for _ in range(100):
        deployment.announce()
    done = deployment.run("backup", small_disk / "copy.db")
    assert done.exit_code == 1
    assert f"The copy cannot be written into {small_disk}" in done.stderr
    assert "Make room there" in done.stderr
    assert list(small_disk.iterdir()) == []


def test_on_a_full_disk_a_restore_says_so_and_leaves_the_catalogue_alone(deployment, deploy, folder, small_disk):
    deployment.announce()
    deployment.run("backup", folder / "copy.db")
    other = deploy(DATABASE_URL=f"sqlite:///{small_disk}/tapekeeper.db")
    done = other.run("restore", folder / "copy.db")
    assert done.exit_code == 1
    assert f"{folder}/copy.db cannot be copied into {small_disk}: No space left on device" in done.stderr
    assert list(small_disk.iterdir()) == []


def test_without_a_catalogue_there_is_nothing_to_back_up(deployment, folder):
    done = deployment.run("backup", folder / "copy.db")
    assert (done.exit_code, (folder / "copy.db").exists()) == (1, False)
    assert "Check DATABASE_URL" in done.stderr


def test_a_restore_is_refused_while_a_process_uses_the_catalogue(deployment, folder, flask_process, bare_environ):
    deployment.announce()
    deployment.run("backup", folder / "copy.db")
    # Another process than that of the application, whose connections are still open.
    done = flask_process(["restore", "--replace", str(folder / "copy.db")], bare_environ | deployment.environ)
    assert done.returncode == 1
    assert "Stop them all" in done.stderr
    assert len(listed(deployment)) == 1
    assert not list(folder.glob("*before*"))


def test_a_catalogue_with_recordings_is_moved_aside_only_when_asked_and_is_whole_there(deployment, folder):
    deployment.run("migrate")
    assert deployment.run("backup", folder / "copy.db").exit_code == 0
    event, _ = deployment.announce()
    deployment.close()
    done = deployment.run("restore", folder / "copy.db")
    assert done.exit_code == 1
    assert "has 1 recordings. With --replace" in done.stderr
    assert deployment.run("restore", "--replace", folder / "copy.db").exit_code == 0
    assert listed(deployment) == set()
    (former,) = folder.glob("tapekeeper.db.before-*Z")
    with closing(sqlite3.connect(former)) as connection:
        assert connection.execute("SELECT recording_uuid FROM recordings").fetchall() == [(event.recording_uuid,)]


def test_a_catalogue_that_is_damaged_is_moved_aside_with_its_wal(deployment, folder):
    deployment.announce()
    deployment.run("backup", folder / "copy.db")
    deployment.close()
    (folder / "tapekeeper.db").write_bytes(b"damaged")
    (folder / "tapekeeper.db-wal").write_bytes(b"its log")
    assert "With --replace it is moved aside" in deployment.run("restore", folder / "copy.db").stderr
    assert deployment.run("restore", "--replace", folder / "copy.db").exit_code == 0
    assert len(listed(deployment)) == 1
    contents = {path.name.rpartition("Z")[2]: path.read_bytes() for path in folder.glob("*.before-*")}
    assert contents == {"": b"damaged", "-wal": b"its log"}


@pytest.fixture
def spoilt(deployment, folder):
    """`spoilt(statement)`: a backup in which this SQL was run."""

    def make(statement):
        deployment.run("migrate")
        deployment.run("backup", folder / "copy.db")
        with closing(sqlite3.connect(folder / "copy.db", isolation_level=None)) as connection:
            connection.execute(statement)
        return folder / "copy.db"

    return make


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "a newer one"),
        ("UPDATE alembic_version SET version_num = 'x'", "revision x"),
        ("DELETE FROM alembic_version", "revision unknown"),
        ("DROP TABLE calls", "no catalogue of Tapekeeper"),
        ("DROP TABLE workers", "has no workers."),
        ("ALTER TABLE copies DROP COLUMN uri", "has no copies.uri"),
        ("UPDATE alembic_version SET version_num = '0003'", "cannot be brought to the schema"),
        ("CREATE VIEW more AS SELECT 1", "no catalogue of Tapekeeper"),
        ("CREATE TRIGGER more AFTER INSERT ON calls BEGIN DELETE FROM recordings; END", "no catalogue of Tapekeeper"),
    ],
)
def test_a_file_of_another_schema_is_not_restored(deployment, folder, spoilt, statement, problem):
    before = (folder / "tapekeeper.db").exists()
    done = deployment.run("restore", spoilt(statement))
    assert (done.exit_code, before) == (1, False)
    assert problem in done.stderr
    assert f"{folder}/copy.db" in done.stderr
    assert ".part" not in done.stderr, "nobody knows the name of the draft"
    assert not list(folder.glob("*before*"))


def test_a_file_that_is_no_whole_database_is_not_restored(deployment, folder):
    for _ in range(200):
        deployment.announce()
    deployment.run("backup", folder / "copy.db")
    deployment.close()
    whole = (folder / "copy.db").read_bytes()
    page = len(whole) // 2 // 4096 * 4096
    for content in (b"no database", whole[: len(whole) // 2], whole[:page] + os.urandom(8192) + whole[page + 8192 :]):
        (folder / "copy.db").write_bytes(content)
        done = deployment.run("restore", "--replace", folder / "copy.db")
        assert done.exit_code == 1
        assert "Traceback" not in done.stderr
        assert ".part" not in done.stderr
    assert len(listed(deployment)) == 200


def test_a_copy_of_a_catalogue_in_use_is_no_backup(deployment, folder):
    deployment.run("migrate")
    deployment.run("backup", folder / "copy.db")
    for suffix in ("-wal", "-journal"):
        (folder / f"copy.db{suffix}").write_bytes(b"what a cp left behind")
        done = deployment.run("restore", folder / "copy.db")
        assert done.exit_code == 1
        assert f"no finished backup: copy.db{suffix}" in done.stderr
        (folder / f"copy.db{suffix}").unlink()


def test_an_older_backup_is_brought_to_the_schema_of_today(deployment, folder):
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    from recordings.catalogue.schema import MIGRATIONS

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(f"sqlite:///{folder}/old.db")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
    engine.dispose()
    done = deployment.run("restore", folder / "old.db")
    assert done.exit_code == 0, done.stderr
    with closing(sqlite3.connect(folder / "tapekeeper.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


@pytest.mark.parametrize(("word", "program"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_on_postgres_the_commands_say_how_postgres_does_it(deploy, folder, word, program):
    (folder / "file").write_text("")
    deployment = deploy(DATABASE_URL="postgres://somebody:secret@127.0.0.1:1/tapes")
    done = deployment.run(word, folder / ("file" if word == "restore" else "copy"))
    assert done.exit_code == 1
    assert program in done.stderr
    assert "secret" not in done.stderr
