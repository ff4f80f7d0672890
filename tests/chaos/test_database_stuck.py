"""A database that is locked by another program, or frozen, while ten events come in each second."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import psycopg
import pytest

from simulator.processes import wait_for
from tests.chaos.watch import Watch

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

SECONDS = 10  # longer than an event waits: 8 s

LOCK_SQLITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def locked_sqlite(deployment):
    """Another process holds the write lock."""
    command = [sys.executable, "-c", LOCK_SQLITE, str(deployment.catalogue)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        yield
        other.stdin.close()


@contextlib.contextmanager
def locked_postgres(deployment):
    """As a migration or a VACUUM FULL locks: nobody else reads or writes these tables."""
    with psycopg.connect(deployment.postgres.url) as connection:
        connection.execute("LOCK TABLE recordings, copies, deliveries IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def frozen_postgres(deployment):
    return deployment.postgres.frozen()


@pytest.mark.parametrize(
    ("mode", "stuck"),
    [
        ("embedded", locked_sqlite),
        ("postgres", locked_postgres),
        ("postgres", frozen_postgres),
    ],
)
def test_answers_go_on_and_events_are_refused_in_time_while_the_database_is_stuck(make_deployment, mode, stuck):
    with make_deployment(mode).running(workers=1) as deployment:
        with Watch(deployment, rate=10, pages=("/readyz",)) as watch:
            wait_for(lambda: watch.announced.acknowledged, "events come in")
            with stuck(deployment):
                time.sleep(SECONDS)
            time.sleep(1)
        watch.hold_to_promises()
        assert {204, 503} == set(watch.events.outcomes), watch
        assert max(watch.pages["/readyz"].seconds) < 1, watch
