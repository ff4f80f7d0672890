"""A private PostgreSQL server on a loopback port, out of Debian's `postgresql` package.

It is a context manager, and may be stopped, killed and started again on the same port. `NotInstalled` says what is
missing. The fixtures are in `servers`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psycopg

from simulator.processes import free_port, wait_for

PATIENCE = 30.0


class NotInstalled(Exception):
    """This server cannot run here; the message says what is missing."""


class PrivatePostgres:
    """PostgreSQL with the super-user `postgres` and no password; a child process with a folder that goes with it.

    Unless it is `durable`, it makes no fsync: a test's data need not survive.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._programs = _postgres_programs()
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="tapekeeper-postgres-", dir="/tmp"))
        self._folder.chmod(0o777)  # the user of the server makes its own folder in it
        self._data = self._folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        command = [self._programs / "initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "--no-sync"]
        done = subprocess.run(
            [*map(str, command), "-E", "UTF8", "--locale=C.UTF-8"], capture_output=True, text=True, **_postgres_user()
        )
        if done.returncode:
            raise NotInstalled(f"initdb failed: {done.stderr}")

    @property
    def url(self) -> str:
        """The URL of the maintenance database, in the form that Heroku writes."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        """Start it and wait until it takes commands."""
        nothing = subprocess.DEVNULL
        with (self._folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                self._command(), stdin=nothing, stdout=log, stderr=log, start_new_session=True, **_postgres_user()
            )
        self.process = process
        wait_for(lambda: process.poll() is not None or self._answers(), "PostgreSQL answers", PATIENCE, pause=0.01)
        if process.poll() is not None:
            raise NotInstalled(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-2000:]}")
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send this signal and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It lives and says nothing, as when its machine hangs: the server and the process of each connection."""
        self._signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self.process is not None
        parent = self.process.pid
        # Each child leads a process group of its own.
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for pid in (parent, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        """End it at once, even while clients are connected, and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if self._durable else "off",
            "max_connections": 60,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self._data), *options]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _postgres_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root; Debian's package brings a user for it."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def new_database(server_url: str) -> tuple[str, Callable[[], None]]:
    """Make an empty database on this server: its URL, and a function that drops it even while clients are connected."""
    name = f"tapekeeper_{uuid.uuid4().hex}"
    base = server_url.replace("+psycopg", "", 1)
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")

    def drop() -> None:
        with psycopg.connect(base, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    start, _, options = base.partition("?")
    return f"{start.rpartition('/')[0]}/{name}{'?' if options else ''}{options}", drop


def _postgres_programs() -> Path:
    program = shutil.which("postgres")
    folders = [Path(program).parent] if program else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        raise NotInstalled("PostgreSQL is not installed: apt-get install postgresql")
    return folders[-1]
