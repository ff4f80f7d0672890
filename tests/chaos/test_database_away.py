"""The database goes away in the middle: intake says 503 in time, and work that was done is not done again."""

from __future__ import annotations

import contextlib
import signal
import sqlite3

import pytest

from simulator.processes import wait_for
from tests.chaos.deployment import LISTENING

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


@pytest.mark.parametrize(("mode", "away"), [("postgres", stopped_postgres), ("worker", locked_sqlite)])
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
            output = deployment.workers[0].output
            wait_for(lambda: "The outcome waits for it" in output(), "the worker waits with what it has done")
        wait_for(lambda: not deployment.unfinished(), "the finished work is recorded")
        (row,) = deployment.listed().values()
        assert (row["state"], row["copies"][0]["attempts"]) == ("stored", 1)
        assert slow.requests == 1
        assert announce(deployment, refused).status == 204
        wait_for(lambda: deployment.count("state = 'stored'") == 2, "everything goes on")


def test_a_worker_whose_connections_are_cut_listens_again(deploy, vonage, announce):
    with deploy("postgres", workers=1) as deployment:
        for where in (LISTENING, "true"):
            wait_for(lambda where=where: deployment.cut_connections(where), "there are connections to cut")
            file = vonage.add_file(size=1_000)
            wait_for(lambda file=file: announce(deployment, file).status == 204, "intake is back")
            wait_for(lambda: not deployment.unfinished(), "the copy is stored")
        wait_for(lambda: deployment.cut_connections(LISTENING), "the worker listens once more")
        assert "Traceback" not in deployment.workers[0].output()
