"""A database's error is told in our words: what a driver quotes may be half of a password, or a caller's number."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError

from recordings.catalogue.database import Database
from recordings.catalogue.engines import PostgresEngine
from recordings.catalogue.outages import explained, translated
from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline
from settings import ROOT

CONNECTING = [
    ("connection failed: failed to resolve host '2secret@127.0.0.1': Name or service not known", "host name"),
    ('connection failed: FATAL: password authentication failed for user "keeper"', "password"),
    ('connection to server at "10.1.2.3", port 5432 failed: Connection refused', "nothing listens"),
    ("connection timeout expired", "in time"),
    ("FATAL: sorry, too many clients already", "no connection left"),
    ("FATAL: the database system is starting up", "starting"),
    ("something that nobody foresaw about 2secret", "OperationalError"),
]


@pytest.mark.parametrize(("words", "meaning"), CONNECTING)
def test_a_failed_connection_is_explained_without_the_drivers_words(words, meaning):
    said = explained(psycopg.OperationalError(words))
    assert meaning in said
    assert not {"2secret", "keeper", "10.1.2.3"} & set(said.replace("'", " ").split())


@given(st.text())
def test_no_word_of_an_unknown_error_is_passed_on(words):
    said = explained(psycopg.OperationalError(words))
    assert (
        said in {explained(psycopg.OperationalError(known)) for known, _ in CONNECTING}
        or "server" in said
        or ("certificate" in said or "encrypted" in said)
    )


def test_the_traceback_of_an_outage_does_not_show_the_drivers_error():
    with pytest.raises(CatalogueUnavailable) as caught, translated():
        raise psycopg.OperationalError("failed to resolve host '2secret@127.0.0.1'")
    assert "2secret" not in "".join(traceback.format_exception(caught.value))


def test_an_unreachable_server_is_told_without_its_url():
    database = Database("postgresql+psycopg://me:hunter2@127.0.0.1:1/calls")
    with pytest.raises(CatalogueUnavailable, match="nothing listens at its address") as caught, database.read():
        pass
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    database.close()


def test_an_error_of_ours_does_not_quote_the_values_of_its_statement(database):
    with pytest.raises(Exception, match="no such column") as caught, database.write(Deadline(5)) as connection:
        connection.execute(text("UPDATE calls SET no_such = :number"), {"number": "447700900123"})
    assert "447700900123" not in str(caught.value)


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database or disk is full"), OSError(28, "No space left")])
def test_what_time_may_mend_is_an_outage(error):
    with pytest.raises(CatalogueUnavailable), translated():
        raise error


def test_a_fault_of_ours_stays_what_it_is():
    with pytest.raises(ProgrammingError), translated():
        raise ProgrammingError("SELEKT", {}, psycopg.errors.SyntaxError("SELEKT"))


@pytest.fixture
def silent_hosts():
    """Two addresses that take connections, and never say a word."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        yield [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]


def test_the_deadline_of_a_connection_counts_for_all_addresses_together(silent_hosts):
    url = make_url("postgresql+psycopg://u:p@/d").update_query_dict({"host": silent_hosts})
    begun = time.monotonic()
    with pytest.raises(CatalogueUnavailable, match="in time"):
        PostgresEngine(url).connect(Deadline(2))
    assert time.monotonic() - begun < 3


# Everything is imported before: this Python may lie where nobody else may read.
AS_SOMEBODY_ELSE = """
import os, sys
from recordings.catalogue.database import Database
Database(f"sqlite:///{sys.argv[1]}/warm.db").migrate()
os.setuid(10001)
Database(f"sqlite:///{sys.argv[1]}/data/tapekeeper.db").migrate()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("made", [False, True])
def test_a_file_that_may_not_be_written_is_named_with_what_to_do(made):
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "data").mkdir(mode=0o755)
        if made:
            Database(f"sqlite:///{folder}/data/tapekeeper.db").migrate()
        command = [sys.executable, "-c", AS_SOMEBODY_ELSE, name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
        place = f"{folder}/data/tapekeeper.db"
        assert f"{place}: Permission denied. Let the user with id 10001 write there (chown 10001" in done.stderr
