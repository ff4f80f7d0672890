"""What the tests of several rooms share: one Vonage application and its key, a pretend Vonage, a clock moved by hand,
the settings of a whole deployment, and that deployment under gunicorn.

Everything lies in the test's own temporary folder and on free loopback ports, so that tests run side by side.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis.internal.conjecture import providers

from simulator import PretendVonage, public_pem
from tests.contract_table import contract_table
from tests.services.signals import listen_again

# The same examples at each run, so that a red test is red for everybody; `--hypothesis-profile=default` explores.
hypothesis.settings.register_profile("house", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("house")

# Hypothesis also tries constants that it finds in the modules loaded so far: then the examples of one test would depend
# on which others ran before it in the same process. Its own constants stay.
NO_CONSTANTS = providers._local_constants
assert len(NO_CONSTANTS) == 0
setattr(providers, "_get_local_constants", lambda: NO_CONSTANTS)  # noqa: B010 - mypy takes no assignment

listen_again()  # before anything is started
os.environ["FLASK_SKIP_DOTENV"] = "1"  # the `.env` of whoever runs the tests is not read

ROOT = Path(__file__).resolve().parent.parent
APPLICATION_ID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
SIGNATURE_SECRET = "a-signature-secret-that-is-long-enough"
PATIENCE = 30.0

# What a child process needs of our own environment; nothing of the person's settings may reach it.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_START")


class HandClock:
    """A clock that stands still until it is moved. Calling it gives the time, in UTC."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> datetime:
        """Let so many seconds pass."""
        self.now += timedelta(seconds=seconds)
        return self.now


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true value of the condition; an AssertionError that says `what` when it stays away."""
    pause, end = threading.Event(), time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < end, f"Not within {patience:.0f} s: {what}"
        pause.wait(0.02)
    return value


class Gunicorn:
    """`gunicorn "wsgi:create_app()"` in the repository's root, as a process group of its own.

    The listening socket is the test's: the port is ours from the beginning, and the same after a restart.
    """

    def __init__(self, env: dict[str, str], listener: socket.socket, log: Path) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.env = env
        self.log = log
        self._listener = listener
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self, *options: str) -> None:
        """Start it; nothing is waited for."""
        fd = self._listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "wsgi:create_app()", "--bind", f"fd://{fd}", *options]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=output, stderr=output, pass_fds=[fd], start_new_session=True
            )

    def start(self, *options: str) -> Gunicorn:
        """Start it and wait until it answers."""
        self.spawn(*options)
        wait_for(self._healthy, f"the application answers /healthz; its log: {self.log}")
        return self

    def _healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(requests.RequestException), requests.get(f"{self.url}/healthz", timeout=5) as reply:
            return reply.status_code == 200
        return False

    def terminate(self) -> None:
        """SIGTERM to the arbiter, as a platform sends it; nothing is waited for."""
        assert self.process is not None
        self.process.terminate()

    def wait(self, patience: float = PATIENCE) -> int:
        """The exit status, once it is there."""
        assert self.process is not None
        return self.process.wait(patience)

    def kill(self) -> None:
        """`kill -9` of the arbiter and of every worker, at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End it, whatever it does; an end in order is what some journeys are about."""
        if self.process is not None:
            self.kill()
        self._listener.close()

    def command(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`flask <words>` with the same settings, as an operator types it beside the running application."""
        return run_flask(words, self.env | more)

    def listed(self, recording_uuid: str) -> dict[str, Any]:
        """What `flask recordings list --json` says of one recording."""
        lines = self.command("recordings", "list", "--json").stdout.splitlines()
        return next(row for row in map(json.loads, lines) if row["recording_uuid"] == recording_uuid)


def run_flask(words: Any, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A real `flask` process; its exit status, stdout and stderr."""
    command = [sys.executable, "-m", "flask", *words]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def clock() -> HandClock:
    """A clock that only the test moves."""
    return HandClock()


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """`until(condition, what)`: wait for a condition, not for a time."""
    return wait_for


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    """The application's key, made and parsed once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def key_pem(rsa_key: rsa.RSAPrivateKey) -> str:
    """The application's key as the dashboard gives it: PKCS#8 PEM."""
    return rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="session")
def application_id() -> str:
    """The one Vonage application of these tests."""
    return APPLICATION_ID


@pytest.fixture(scope="session")
def make_vonage(key_pem: str) -> Callable[..., PretendVonage]:
    """`make_vonage()`: a pretend Vonage for the application, not started yet."""
    return lambda **more: PretendVonage(APPLICATION_ID, public_pem(key_pem), SIGNATURE_SECRET, **more)


@pytest.fixture
def vonage(make_vonage: Callable[..., PretendVonage]) -> Iterator[PretendVonage]:
    """A running pretend Vonage of this test alone."""
    with make_vonage() as running:
        yield running


@pytest.fixture(scope="session")
def make_environ(key_pem: str) -> Callable[..., dict[str, str]]:
    """`make_environ(folder, **changes)`: every setting of a deployment that keeps all it has below `folder`."""

    def make(folder: Path, **changes: str) -> dict[str, str]:
        settings = {
            "VONAGE_APPLICATION_ID": APPLICATION_ID,
            "VONAGE_PRIVATE_KEY": key_pem,
            "VONAGE_SIGNATURE_SECRET": SIGNATURE_SECRET,
            "PUBLIC_URL": "https://tapes.example",
            "DATABASE_URL": f"sqlite:///{folder}/tapekeeper.db",
            "STORAGE_URL": f"file://{folder}/recordings",
            "PLUGINS_DIR": f"{folder}/plugins",
            "FORWARD_TO": "447700900002",
            "VONAGE_NUMBER": "447700900000",
        }
        return settings | changes

    return make


@pytest.fixture(scope="session")
def bare_environ() -> dict[str, str]:
    """A child process's environment without a single setting of ours."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return inherited | {"FLASK_SKIP_DOTENV": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def flask_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`flask_process(words, env)`: a real `flask` command."""
    return run_flask


@pytest.fixture(scope="module")
def make_gunicorn(
    make_environ: Callable[..., dict[str, str]], bare_environ: dict[str, str]
) -> Iterator[Callable[..., Gunicorn]]:
    """`make_gunicorn(folder, vonage, **settings)`: a deployment that trusts this pretend Vonage, not started yet.

    All are ended with the module.
    """
    made: list[Gunicorn] = []

    def make(folder: Path, vonage: PretendVonage | None = None, **changes: str) -> Gunicorn:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        hosts = {"RECORDING_HOSTS": vonage.origin} if vonage else {}
        settings = make_environ(folder, **{"PUBLIC_URL": url, "TMPDIR": str(folder), **hosts, **changes})
        made.append(Gunicorn(bare_environ | settings, listener, folder / "gunicorn.log"))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Puts the root logger back as it was: making an app gives it a handler on this moment's stderr."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts whole deployments, or runs the contract over every store, is `slow`: `make quick` leaves it out."""
    for item in items:
        if {"chaos", "journeys", "contract"} & set(item.path.relative_to(ROOT).parts):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show which store kept which promise."""
    told = [
        (report.nodeid, outcome)
        for outcome in ("passed", "failed", "skipped", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if hasattr(report, "nodeid")
    ]
    if table := contract_table(told):
        terminalreporter.section("the storage contract")
        terminalreporter.write_line(table)
