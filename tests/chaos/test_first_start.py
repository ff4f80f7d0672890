"""Many processes on one Postgres: they start at the same moment on an empty database, and share its connections."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from simulator.application import ROOT
from simulator.processes import ApplicationError

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

# The connections that a process may hold: recordings.catalogue.database says 4; a worker listens on one more.
OF_A_WEB, OF_A_WORKER = 4, 5


def connections(url: str) -> int:
    """How many connections the application holds."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tapekeeper'"
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()[0]


def test_first_starts_at_the_same_moment_agree_on_the_tables(make_deployment):
    deployment = make_deployment("postgres")
    with deployment.postgres:
        command = [sys.executable, "-m", "flask", "migrate"]
        migrating = [
            subprocess.Popen(command, cwd=ROOT, env=deployment.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(3)
        ]
        for worker in deployment.workers:
            worker.spawn()
        output = [process.communicate(timeout=60)[0].decode() for process in migrating]
        assert [process.returncode for process in migrating] == [0] * 3, output
        for worker in deployment.workers:
            worker.wait_until_ready()
        assert deployment.count("true") == 0
        assert deployment.stop() < 25
        assert not any("Traceback" in worker.output() for worker in deployment.workers)


@pytest.mark.parametrize("form", ["postgres", "postgresql"])
def test_both_forms_of_the_address_and_its_tls_words_are_taken(make_deployment, form):
    deployment = make_deployment("postgres")
    with deployment.postgres as server:
        deployment.env["DATABASE_URL"] = f"{server.url.replace('postgres', form, 1)}?sslmode=prefer"
        assert "revision" in deployment.flask("migrate")
        deployment.env["DATABASE_URL"] = f"{server.url.replace('postgres', form, 1)}?sslmode=require"
        with pytest.raises(ApplicationError, match="no encrypted connection"):  # this server has none
            deployment.flask("migrate")


def test_a_busy_deployment_holds_few_connections(deploy, vonage, announce):
    files = [vonage.add_file(size=1_000, faults=["drip:0.05"]) for _ in range(24)]
    most = 0
    with deploy("postgres", workers=1) as deployment:
        deployment.webs[1].kill()
        for file in files:
            assert announce(deployment, file).status == 204
            most = max(most, connections(deployment.postgres.url))
        while deployment.unfinished():
            most = max(most, connections(deployment.postgres.url))
    assert 0 < most <= OF_A_WEB + OF_A_WORKER
