"""Every way out of a process closes everything that the process opened."""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
from sqlalchemy import func, select

from closing import close_all
from recordings.archive.fetch import Fetcher
from recordings.archive.hosts import HostRule
from recordings.catalogue.tables import calls
from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline
from tests.services.deployment import deploy
from wsgi import create_app

__all__ = ["deploy"]

ROOT = Path(__file__).resolve().parent.parent

# Folders whose closing is written down, a line each, in the file that the variable CLOSED names.
WATCHED = """
from pathlib import Path

import pluggy

from backends.local.storage import LocalStorage

hookimpl = pluggy.HookimplMarker("tapekeeper")


class Watched(LocalStorage):
    @classmethod
    def from_url(cls, url, env):
        storage = cls(Path(url.partition("://")[2]))
        storage.url, storage.closed = url, Path(env["CLOSED"])
        return storage

    def close(self):
        with self.closed.open("a") as lines:
            print(self.url, file=lines)
        super().close()


class Stubborn(Watched):
    def close(self):
        super().close()
        raise RuntimeError("this store cannot be closed")


@hookimpl
def register_storage_backends():
    return {"watched": Watched, "stubborn": Stubborn}
"""


@pytest.fixture
def watched(tmp_path):
    """The settings of a deployment with a watched storage."""
    (tmp_path / "plugins").mkdir(exist_ok=True)
    (tmp_path / "plugins" / "watched.py").write_text(WATCHED)
    return {"STORAGE_URL": f"watched://{tmp_path}/tapes", "CLOSED": str(tmp_path / "closed")}


@pytest.fixture
def closed(tmp_path):
    """`closed()`: the URLs of the storages that were closed, in order."""
    path = tmp_path / "closed"
    return lambda: path.read_text().split() if path.exists() else []


@pytest.fixture
def database_is_closed(tmp_path):
    """`database_is_closed()`: SQLite deletes its log with the last connection. https://sqlite.org/wal.html#the_wal_file"""
    return lambda: (tmp_path / "tapekeeper.db").exists() and not (tmp_path / "tapekeeper.db-wal").exists()


# --- What is closed ---------------------------------------------------------------------------------------------------


def test_the_database_and_each_storage_are_closed_once(deploy, watched, vonage, closed, database_is_closed, tmp_path):
    deployment = deploy(**watched, RECORDING_HOSTS=vonage.origin)
    deployment.archive(vonage.add_file())
    assert not database_is_closed()
    deployment.close()
    deployment.close()
    assert closed() == [watched["STORAGE_URL"]]
    assert database_is_closed()


def test_a_former_storage_that_was_opened_for_its_copy_is_closed(deploy, watched, vonage, closed, tmp_path):
    deploy(**watched, RECORDING_HOSTS=vonage.origin).archive(vonage.add_file())
    other = f"watched://{tmp_path}/new"
    copied = deploy(**watched | {"STORAGE_URL": other}).run("recordings", "copy", "--to", other)
    assert copied.stdout == "1 copied.\n"
    assert sorted(closed()) == sorted([other, watched["STORAGE_URL"]])


def test_a_part_that_cannot_be_closed_keeps_no_other_open(
    deploy, watched, vonage, closed, database_is_closed, caplog, tmp_path
):
    stubborn = f"stubborn://{tmp_path}/a"
    deployment = deploy(**watched | {"STORAGE_URL": f"{stubborn} {watched['STORAGE_URL']}"})
    deployment.announce()
    deployment.close()
    assert closed() == [stubborn, watched["STORAGE_URL"]]
    assert database_is_closed()
    assert f"{stubborn} could not be closed; everything else is closed all the same." in caplog.text


def test_the_leases_of_copies_in_work_are_given_back(deploy, watched):
    deployment = deploy(**watched)
    _, (copy_id,) = deployment.announce()
    claim = deployment.wiring.leases.claim(copy_id)
    with deployment.wiring.heartbeat.holding(claim) as held:
        deployment.close()
        assert held.lost()
    assert deploy(**watched).wiring.leases.claim(copy_id) is not None, "another worker may take it at once"


def test_a_call_that_was_just_answered_is_noted_before_the_database_closes(deploy, watched):
    deployment = deploy(**watched, ALLOW_UNSIGNED_WEBHOOKS="true")
    query = {"from": "447700900001", "to": "447700900000", "uuid": "leg", "conversation_uuid": "CON-1"}
    assert deployment.client.get("/webhooks/answer", query_string=query).status_code == 200
    deployment.close()
    with deploy(**watched).wiring.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(calls)).scalar_one() == 1


def test_the_connections_to_vonage_are_closed(deploy, vonage):
    session, mint = requests.Session(), deploy().wiring.token.mint
    fetcher = Fetcher(HostRule.parse([vonage.origin]), mint, session=session)
    with fetcher.open(vonage.add_file(size=500).url) as audio:
        assert len(audio.read()) == 500
    pools = session.get_adapter(vonage.origin).poolmanager.pools
    assert len(pools) == 1
    fetcher.close()
    assert len(pools) == 0


@pytest.fixture
def hanging():
    """A function that returns only once the test is over."""
    over = threading.Event()
    yield over.wait
    over.set()


def test_all_parts_share_one_deadline_however_many_of_them_hang(hanging, caplog):
    """With a time of its own for each, these twenty parts would take some minutes."""
    closed = []
    parts = [(f"part-{number}", hanging) for number in range(20)]
    close_all([*parts, ("last", lambda: closed.append("last"))], Deadline(0))
    assert closed == ["last"]
    assert "part-19 was not closed within 0.1 s; everything else is closed all the same." in caplog.text


def test_an_engine_that_hangs_leaves_time_for_the_parts_after_it(hanging, caplog):
    clock = iter([0.0, *([19.5] * 9)])
    close_all([("engine", hanging), ("next", hanging)], Deadline(20, ticks=lambda: next(clock)))
    assert "engine was not closed within 0.5 s" in caplog.text
    assert "next was not closed within 0.5 s" in caplog.text


def test_a_part_is_closed_also_where_no_thread_can_be_started(without_threads):
    """As within atexit, where Python starts none any more."""
    closed = []
    with without_threads():
        close_all([("part", lambda: closed.append("part"))], Deadline(1))
    assert closed == ["part"]


def test_a_database_that_is_away_is_one_line_and_no_traceback(caplog):
    def close():
        raise CatalogueUnavailable("The database cannot be used right now: it did not answer in time.")

    close_all([("workers", close)], Deadline(1))
    assert "workers could not be closed in order. The database cannot be used right now" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_locked_database_holds_up_no_end(deploy, watched, closed, caplog, tmp_path):
    deployment = deploy(**watched)
    deployment.wiring.workers.sign()
    claims = [deployment.wiring.leases.claim(deployment.announce()[1][0]) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for claim in claims:
            stack.enter_context(deployment.wiring.heartbeat.holding(claim))
        foreign = stack.enter_context(contextlib.closing(sqlite3.connect(tmp_path / "tapekeeper.db")))
        foreign.execute("BEGIN IMMEDIATE")
        deployment.wiring.close(seconds=0)
        assert closed() == [watched["STORAGE_URL"]]
    assert "everything else is closed all the same" in caplog.text


# --- Every way out ----------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(make_environ, bare_environ, until, watched, tmp_path):
    """`stopped(name, ready, *words)`: what a flask process printed that got this signal once `ready(log)` was true."""

    def run(name, ready, *words):
        log = tmp_path / "log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "flask", *words]
            env = bare_environ | make_environ(tmp_path, **watched)
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
        try:
            until(lambda: ready(log.read_text()), f"{words} is ready")
            process.send_signal(name)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
        return log.read_text()

    return run


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_flask_worker_closes_everything(stopped, name, watched, closed, tmp_path):
    printed = stopped(name, lambda log: "Archiving into" in log, "worker")
    assert "Stopping: within 18 s, copies in work finish or are given back." in printed
    assert closed() == [watched["STORAGE_URL"]]
    assert not (tmp_path / "tapekeeper.db-wal").exists()


def test_flask_run_closes_everything(stopped, watched, closed, database_is_closed):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def ready(log):
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200

    stopped(signal.SIGINT, ready, "run", "--port", str(port))
    assert closed() == [watched["STORAGE_URL"]]
    assert database_is_closed()


def test_gunicorn_closes_everything(make_gunicorn, watched, closed, database_is_closed, until, tmp_path):
    gunicorn = make_gunicorn(tmp_path, EMBEDDED_WORKER="false", **watched).start()
    until(lambda: requests.get(f"{gunicorn.url}/readyz", timeout=5).status_code == 200, "all is well")
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.wait() == 0
    assert closed() == [watched["STORAGE_URL"]]
    assert database_is_closed()
    assert "Stopped; nothing that was acknowledged is lost." in gunicorn.output()


def test_gunicorn_closes_everything_in_time_also_while_the_database_is_locked(
    make_gunicorn, watched, closed, until, tmp_path
):
    gunicorn = make_gunicorn(tmp_path, **watched).start()
    until(lambda: requests.get(f"{gunicorn.url}/readyz", timeout=5).status_code == 200, "all is well")
    with contextlib.closing(sqlite3.connect(tmp_path / "tapekeeper.db")) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        gunicorn.signal(signal.SIGTERM)
        assert gunicorn.wait() == 0
    assert closed() == [watched["STORAGE_URL"]]
    assert "Stopped; nothing that was acknowledged is lost." in gunicorn.output()


def test_a_command_closes_what_it_opened_also_when_it_fails(deploy, watched, closed, database_is_closed, tmp_path):
    deployment = deploy(**watched)
    deployment.announce()
    deployment.close()
    (tmp_path / "closed").unlink()
    failed = deployment.run("recordings", "verify", "--after", "nobody")
    assert failed.exit_code == 2
    assert closed() == [watched["STORAGE_URL"]]
    assert database_is_closed()


def test_nothing_is_made_in_order_to_be_closed(make_environ, watched, closed, own_logging, tmp_path):
    create_app(make_environ(tmp_path, **watched)).extensions["tapekeeper"].close()
    assert closed() == [watched["STORAGE_URL"]]
    assert not (tmp_path / "tapekeeper.db").exists()
