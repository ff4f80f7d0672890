"""Many processes on one Postgres: they start at the same moment on an empty database, and share its connections."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from tests.chaos.deployment import ROOT, wait_for

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

# What each process may hold: recordings.catalogue.database says 4 for the catalogue, the queue takes one more.
EACH = 5


def connections(url: str) -> list[tuple[str, int]]:
    """How many connections there are by name, ours excepted."""
    query = (
        "SELECT application_name, count(*) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1 ORDER BY 1"
    )
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_first_starts_at_the_same_moment_agree_on_the_tables(make_deployment):
    deployment = make_deployment("postgres")
    with deployment.postgres:
        command = [sys.executable, "-m", "flask", "migrate"]
        migrating = [
            subprocess.Popen(command, cwd=ROOT, env=deployment.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(3)
        ]
        for worker in deployment.workers:
            worker.start()
        said = [process.communicate(timeout=60)[0].decode() for process in migrating]
        assert [process.returncode for process in migrating] == [0] * 3, said
        for worker in deployment.workers:
            worker.wait_until_ready()
        tables = "SELECT to_regclass('copies') IS NOT NULL AND to_regclass('huey_task') IS NOT NULL"
        with psycopg.connect(deployment.postgres.url) as connection:
            wait_for(lambda: connection.execute(tables).fetchone()[0], "both kinds of tables are there")
        assert deployment.stop() < 25
        assert not any("Traceback" in worker.said() for worker in deployment.workers)


@pytest.mark.parametrize("form", ["postgres", "postgresql"])
def test_both_forms_of_the_address_and_its_tls_words_are_taken(make_deployment, form):
    deployment = make_deployment("postgres")
    with deployment.postgres as server:
        deployment.env["DATABASE_URL"] = f"{server.url.replace('postgres', form, 1)}?sslmode=prefer"
        assert "revision" in deployment.flask("migrate")
        deployment.env["DATABASE_URL"] = f"{server.url.replace('postgres', form, 1)}?sslmode=require"
        with pytest.raises(RuntimeError, match="SSL"):  # this server has none, and it is not done without
            deployment.flask("migrate")


def test_a_busy_deployment_holds_few_connections(deploy, vonage, announce):
    files = [vonage.add_file(size=1_000, faults=["drip:0.05"]) for _ in range(24)]
    most: dict[str, int] = {}
    with deploy("postgres", workers=1) as deployment:
        deployment.webs[1].kill()
        for file in files:
            assert announce(deployment, file).status == 204
            most |= {name: max(count, most.get(name, 0)) for name, count in connections(deployment.postgres.url)}
        while deployment.unfinished():
            most |= {name: max(count, most.get(name, 0)) for name, count in connections(deployment.postgres.url)}
    assert most["tapekeeper"] <= 2 * (EACH - 1), most
    assert most["tapekeeper-queue"] <= 2, most
