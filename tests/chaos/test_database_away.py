"""The database goes away in the middle: intake says 503 in time, and work that was done is not done again."""

from __future__ import annotations

import contextlib
import signal
import sqlite3

import pytest

from tests.chaos.deployment import wait_for

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

# Vonage gives up on an event webhook after 10 s.
IN_TIME = 10


@contextlib.contextmanager
def stopped_postgres(deployment):
    deployment.postgres.stop(signal.SIGINT)
    yield
    deployment.postgres.start()


@contextlib.contextmanager
def locked_sqlite(deployment):
    with contextlib.closing(sqlite3.connect(deployment.folder / "tapekeeper.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("mode", "away"), [("postgres", stopped_postgres), ("redis", stopped_postgres), ("worker", locked_sqlite)]
)
def test_finished_work_waits_for_the_database_and_is_not_repeated(deploy, vonage, announce, mode, away):
    slow = vonage.add_file(size=20_000, faults=["drip:0.1"])
    refused = vonage.add_file(size=1_000)
    with deploy(mode, workers=1, LEASE_SECONDS="30") as deployment:
        assert announce(deployment, slow).status == 204
        wait_for(lambda: slow.requests, "the download runs")
        with away(deployment):
            reply = announce(deployment, refused)
            assert (reply.status, reply.attempts) == (503, 2)
            assert reply.seconds / reply.attempts < IN_TIME
            said = deployment.workers[0].said
            wait_for(lambda: "The outcome waits for it" in said(), "the worker waits with what it has done")
        wait_for(lambda: not deployment.unfinished(), "the finished work is recorded")
        (row,) = deployment.listed().values()
        assert (row["state"], row["copies"][0]["attempts"]) == ("stored", 1)
        assert slow.requests == 1
        assert announce(deployment, refused).status == 204
        wait_for(lambda: deployment.count("state = 'stored'") == 2, "everything goes on")
