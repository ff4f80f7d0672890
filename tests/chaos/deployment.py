"""A whole deployment out of real processes, in one of four modes, that may be killed piece by piece and comes back.

    embedded   one gunicorn with two processes, one of which archives; SQLite
    worker     one gunicorn and one `flask worker`; SQLite
    postgres   two gunicorns and two workers; catalogue and queue in one Postgres
    redis      the same with the queue in Redis

Each process has one port and one log for its whole life, however often it is started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from simulator import public_pem
from simulator.application import free_port
from tests.services.databases import PrivatePostgres, PrivateRedis

ROOT = Path(__file__).resolve().parents[2]
MODES = ("embedded", "worker", "postgres", "redis")
APPLICATION_ID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
SECRET = "a-signature-secret-that-is-long-enough"
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "LD_LIBRARY_PATH")

# Short, so that what a kill leaves behind is taken up while one watches.
TIMES = {"LEASE_SECONDS": "3", "RETRY_FIRST_SECONDS": "1", "RETRY_MAX_SECONDS": "4"}


def wait_for(
    condition: Callable[[], Any], what: str, patience: float = 60, more: Callable[[], str] = lambda: ""
) -> Any:
    """The first true value of the condition; TimeoutError, saying `what` and `more`, when it stays away."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"Not within {patience:.0f} s: {what}\n{more()}".strip())
        time.sleep(0.02)
    return value


class Child:
    """One process of the deployment, with everything that it starts."""

    def __init__(
        self, name: str, command: list[str], env: Mapping[str, str], folder: Path, *, room: Path = ROOT
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._room = room
        self._command = command
        self._env = dict(env)
        self._said = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; nothing is waited for."""
        with self.log.open("ab") as log:
            self._said = log.tell()
            self.process = subprocess.Popen(
                self._command, cwd=self._room, env=self._env, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def ready(self) -> bool:
        """It says that it works. A worker's word; `Web` has its own."""
        return "Archiving into" in self.said()

    def wait_until_ready(self, patience: float = 60) -> None:
        """TimeoutError when that takes too long, ChildProcessError once it has ended instead; both show its log."""
        wait_for(lambda: self.ready() or self.process.poll() is not None, f"{self.name} works", patience, self.said)
        if self.process.returncode is not None:
            raise ChildProcessError(f"{self.name} ended with {self.process.returncode}:\n{self.said()}")

    def said(self) -> str:
        """Its log since it was started last."""
        with self.log.open(errors="replace") as log:
            log.seek(self._said)
            return log.read()

    def children(self) -> list[int]:
        """The processes that it forked, by its own kernel's word."""
        with contextlib.suppress(OSError):
            return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def kill(self) -> None:
        """`kill -9`, all of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended_within(self, seconds: float) -> float:
        """Wait for its end; how long that took."""
        began = time.monotonic()
        self.process.wait(seconds)
        return time.monotonic() - began


class Web(Child):
    """A gunicorn."""

    def __init__(self, name: str, env: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "gunicorn", "wsgi:create_app()", "--bind", f"127.0.0.1:{self.port}"]
        super().__init__(name, command, {**env, "PUBLIC_URL": self.url}, folder)

    def ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz", timeout=2).status_code == 200
        return False


class FileHost(Child):
    """The pretend Vonage's files; see `watched_files`."""

    def __init__(self, folder: Path, env: Mapping[str, str], public_key: str, pauses: str) -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.journal = folder / "overlaps"
        self.journal.touch()
        settings = {
            "SIMULATOR_APPLICATION_ID": APPLICATION_ID,
            "SIMULATOR_PUBLIC_KEY": public_key,
            "CHAOS_JOURNAL": str(self.journal),
            "CHAOS_PAUSES": pauses,
            "PYTHONPATH": str(ROOT),
        }
        options = ["--worker-class", "gthread", "--threads", "64", "--workers", "1"]
        app = "tests.chaos.watched_files:from_environment()"
        command = [sys.executable, "-m", "gunicorn", app, "--bind", f"127.0.0.1:{self.port}", *options]
        # Not in the repository's root: there lies a gunicorn.conf.py that is the application's.
        super().__init__("files", command, {**env, **settings}, folder, room=folder)

    def ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(self.origin, timeout=2).status_code == 404
        return False

    def overlaps(self) -> list[str]:
        """The files that were fetched by two living workers at once."""
        return self.journal.read_text().splitlines()


class Deployment:
    """See the module. `webs`, `workers` and `files` are its processes; `postgres` and `redis` None where unused.

    `pauses` are the bounds of the pause within each file, in seconds; `changes` are further settings. Nothing is
    started yet: `running` does that.
    """

    def __init__(self, mode: str, folder: Path, *, pauses: str = "0 0.2", **changes: str) -> None:
        self.mode, self.folder = mode, folder
        (folder / "plugins").mkdir()
        self.storage = folder / "recordings"
        self.postgres = PrivatePostgres() if mode in ("postgres", "redis") else None
        self.redis = PrivateRedis() if mode == "redis" else None
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        base = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        base |= {"PYTHONUNBUFFERED": "1", "FLASK_SKIP_DOTENV": "1", "TMPDIR": str(folder)}
        self.files = FileHost(folder, base, public_pem(pem), pauses)
        self.env = base | self._settings(pem) | TIMES | changes
        self.webs, self.workers = self._processes()

    def _settings(self, pem: str) -> dict[str, str]:
        settings = {
            "VONAGE_APPLICATION_ID": APPLICATION_ID,
            "VONAGE_PRIVATE_KEY": pem,
            "VONAGE_SIGNATURE_SECRET": SECRET,
            "PUBLIC_URL": "http://127.0.0.1:1",
            "RECORDING_HOSTS": self.files.origin,
            "STORAGE_URL": f"file://{self.storage}",
            "DATABASE_URL": self.postgres.url if self.postgres else f"sqlite:///{self.folder}/tapekeeper.db",
            "PLUGINS_DIR": str(self.folder / "plugins"),
            "EMBEDDED_WORKER": "true" if self.mode == "embedded" else "false",
            "WEB_CONCURRENCY": "2" if self.mode == "embedded" else "1",
            "LOG_LEVEL": "WARNING",
        }
        return settings | ({"QUEUE_URL": self.redis.url} if self.redis else {})

    def _processes(self) -> tuple[list[Web], list[Child]]:
        each = 2 if self.postgres else 1
        worker = [sys.executable, "-m", "flask", "worker"]
        workers = 0 if self.mode == "embedded" else each
        return (
            [Web(f"web{number}", self.env, self.folder) for number in range(each)],
            [Child(f"worker{number}", worker, self.env, self.folder) for number in range(workers)],
        )

    @property
    def all(self) -> list[Child]:
        """The processes that are ours to kill."""
        return [*self.webs, *self.workers]

    @contextlib.contextmanager
    def running(self, *, workers: int = 2, files: bool = True) -> Iterator[Deployment]:
        """From when everything works until the end of the block; `workers` says how many of them start at once.

        Without `files` its file host stays away, because another one is in RECORDING_HOSTS.
        """
        servers = [server for server in (self.postgres, self.redis) if server]
        with contextlib.ExitStack() as stack:
            for server in servers:
                stack.enter_context(server)
            started = [*([self.files] if files else []), *self.webs, *self.workers[:workers]]
            for child in started:
                child.start()
            try:
                for child in started:
                    child.wait_until_ready()
                yield self
            finally:
                for child in [*self.all, self.files]:
                    if child.process is not None:
                        child.kill()

    def stop(self, patience: float = 25) -> float:
        """SIGTERM to every process; the longest that one took to end, in seconds."""
        alive = [child for child in self.all if child.process is not None]
        for child in alive:
            child.signal(signal.SIGTERM)
        return max(child.ended_within(patience) for child in alive)

    def count(self, where: str) -> int:
        """How many copies there are of which this is true, by the catalogue."""
        query = f"SELECT count(*) FROM copies WHERE {where}"
        if self.postgres:
            with psycopg.connect(self.postgres.url) as connection:
                return connection.execute(query).fetchone()[0]
        with contextlib.closing(sqlite3.connect(self.folder / "tapekeeper.db", timeout=30)) as connection:
            return connection.execute(query).fetchone()[0]

    def unfinished(self) -> int:
        """The copies that are still to be stored."""
        return self.count("state <> 'stored'")

    def listed(self) -> dict[str, dict[str, Any]]:
        """What `flask recordings list --json` says, by recording_uuid."""
        rows = [json.loads(line) for line in self.flask("recordings", "list", "--json").splitlines()]
        return {row["recording_uuid"]: row for row in rows}

    def flask(self, *words: str) -> str:
        """What a `flask` command prints."""
        command = [sys.executable, "-m", "flask", *words]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError(f"flask {' '.join(words)}: {done.stderr}")
        return done.stdout
