"""Archiving begins under any WSGI server, in the process that serves, and the log says where; or that it does not."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from recordings.catalogue.workers import Workers
from tests.services.deployment import deploy
from wsgi import create_app

__all__ = ["deploy"]

ROOT = Path(__file__).resolve().parent.parent
BEGAN = re.compile(r"Archiving in this process \(pid (\d+)\) into file://\S+, with 8 threads\.")
FIRST_REQUEST = ("/healthz", "/nowhere")

# A server that knows nothing of us: it imports the app and answers.
PLAIN_SERVER = """
import sys
from wsgiref.simple_server import make_server
from wsgi import create_app
make_server("127.0.0.1", int(sys.argv[1]), create_app()).serve_forever()
"""


class Served:
    """A server process over the test's deployment, with one recording that waits to be archived."""

    def __init__(self, deployment, log, until):
        self.log_path = log
        self._deployment = deployment
        self._until = until

    @property
    def log(self):
        return self.log_path.read_text()

    def wait_stored(self):
        """Wait until the recording is archived; the ids of the processes that archive."""
        self._until(lambda: self.states() == ["stored"], f"the recording is stored; the log: {self.log_path}")
        return [int(pid) for pid in BEGAN.findall(self.log)]

    def states(self):
        return [row["state"] for row in self._deployment.objects("recordings", "list")]

    def living(self):
        return Workers(self._deployment.wiring.database).living()


@pytest.fixture
def served(deploy, vonage, until, tmp_path):
    """`served(log)`: what a server process, whose output goes to this file, makes of a waiting recording."""

    def make(log):
        deployment = deploy(RECORDING_HOSTS=vonage.origin)
        file = vonage.add_file()
        deployment.announce(recording_url=file.url, size=file.size)
        return Served(deployment, log, until)

    return make


@pytest.fixture
def process(served, make_environ, bare_environ, vonage, tmp_path):
    """`process(*words)`: a Python process that serves on the returned port, its `Served`, and its Popen."""
    with contextlib.ExitStack() as closing:

        def run(*words, **settings):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            log = tmp_path / "log"
            seen = served(log)
            env = bare_environ | make_environ(tmp_path, RECORDING_HOSTS=vonage.origin, **settings)
            command = [sys.executable, *(str(port) if word == "PORT" else word for word in words)]
            with log.open("wb") as output:
                started = subprocess.Popen(
                    command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
                )
            closing.callback(started.wait)
            closing.callback(lambda: started.poll() is None and os.killpg(started.pid, signal.SIGKILL))
            return port, seen, started

        yield run


def answers(port, path="/healthz"):
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=5)


def test_flask_run_archives_before_any_request(process):
    _, seen, started = process("-m", "flask", "run", "--port", "PORT")
    assert seen.wait_stored() == [started.pid]


def test_flask_run_with_its_reloader_archives_in_the_process_that_serves(process):
    _, seen, started = process("-m", "flask", "run", "--reload", "--port", "PORT")
    (pid,) = seen.wait_stored()
    assert pid != started.pid


@pytest.mark.parametrize("path", FIRST_REQUEST)
def test_a_server_that_we_know_nothing_of_archives_from_the_first_request_on(process, until, path):
    port, seen, started = process("-c", PLAIN_SERVER, "PORT")
    until(lambda: answers(port, path) is not None, "it answers")
    assert seen.wait_stored() == [started.pid]


def test_a_process_that_does_not_archive_says_so(process, until):
    port, seen, _ = process("-m", "flask", "run", "--port", "PORT", EMBEDDED_WORKER="false")
    until(lambda: answers(port) is not None, "it answers")
    assert "does not archive: EMBEDDED_WORKER is false. Run flask worker beside it." in seen.log
    assert (seen.states(), BEGAN.findall(seen.log)) == (["pending"], [])


@pytest.mark.parametrize("options", ["--preload", "-k sync", "-k sync --preload"])
def test_our_gunicorn_archives_before_any_request_and_never_in_the_arbiter(
    make_gunicorn, served, vonage, tmp_path, options
):
    gunicorn = make_gunicorn(tmp_path, vonage, GUNICORN_CMD_ARGS=options)
    seen = served(gunicorn.log)
    gunicorn.spawn()
    assert seen.wait_stored() == gunicorn.children
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.wait() == 0
    assert seen.living() == 0  # it left in order


@pytest.mark.parametrize("options", ["", "--preload", "-k sync", "-k gthread --preload"])
def test_gunicorn_with_a_configuration_of_the_users_own_archives_from_the_first_request_on(
    make_gunicorn, served, vonage, tmp_path, options
):
    (tmp_path / "own.py").write_text("timeout = 40\n")
    gunicorn = make_gunicorn(tmp_path, vonage, GUNICORN_CMD_ARGS=f"-c {tmp_path}/own.py {options}")
    seen = served(gunicorn.log)
    gunicorn.start()
    assert seen.wait_stored() == gunicorn.children
    gunicorn.signal(signal.SIGTERM)
    assert gunicorn.wait() == 0
    assert seen.living() == 0  # it left in order, without our hook


def test_an_app_that_is_only_made_or_tried_archives_nothing(make_environ, tmp_path, own_logging):
    app = create_app(make_environ(tmp_path))
    for path in FIRST_REQUEST:
        app.test_client().get(path)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("tapekeeper-worker")]
    app.extensions["tapekeeper"].close()


def test_it_begins_once_in_a_process_however_often_it_is_asked_to(deploy, caplog, until):
    caplog.set_level("INFO")
    wiring = deploy().wiring
    for _ in range(3):
        wiring.start_embedded_worker()
    until(lambda: "Archiving in this process" in caplog.text, "it archives")

    def workers():
        return sum(thread.name.startswith("tapekeeper-worker") for thread in threading.enumerate())

    until(lambda: workers() == 8, "its threads run")
    wiring.close()
    assert caplog.text.count("Archiving in this process") == 1


class ShortOfThreads:
    """Checks whose threads the system does not give at first."""

    def __init__(self):
        self.starts = 0

    def start(self):
        self.starts += 1
        if self.starts == 1:
            raise RuntimeError("can't start new thread")

    def stop(self):
        pass


def test_what_has_begun_is_not_begun_again_when_a_thread_could_not_be_started(deploy, caplog):
    wiring = deploy(EMBEDDED_WORKER="false").wiring
    checks = wiring.serving.__dict__["readiness"] = ShortOfThreads()
    for _ in range(3):
        wiring.start_embedded_worker()
    assert caplog.text.count("Archiving could not begin in this process; the next request tries it again.") == 1
    assert caplog.text.count("does not archive: EMBEDDED_WORKER is false.") == 1
    assert checks.starts == 2
