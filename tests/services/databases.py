"""Private PostgreSQL and Redis servers on loopback ports, out of Debian's `postgresql` and `redis-server` packages.

Each is a child process with a folder of its own below /tmp: a context manager that may be stopped, killed, frozen and
started again on the same port. `NotInstalled` says what is missing. The fixtures are in `servers`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psycopg
import redis

from simulator.application import free_port

PATIENCE = 30.0


class NotInstalled(Exception):
    """This server cannot run here; the message says what is missing."""


class Server(ABC):
    """A server program as a child process; `folder` is its own and goes with it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="tapekeeper-server-", dir="/tmp"))
        self.folder.chmod(0o755)  # another user must find what is its own below it
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it takes commands."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._who()
            )
        end, pause = time.monotonic() + PATIENCE, 0.01
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise NotInstalled(f"{self._command()[0]} did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(pause)
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send this signal and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(PATIENCE)

    def freeze(self) -> None:
        """It lives and does not answer, as when its machine hangs. `thaw` ends it."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _command(self) -> list[str]:
        """What starts it in the foreground."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes connections now."""

    def _who(self) -> dict[str, Any]:
        return {}


class PrivatePostgres(Server):
    """PostgreSQL with the super-user `postgres` and no password, without fsync: its data need not survive."""

    def __init__(self) -> None:
        super().__init__()
        self._programs = _postgres_programs()
        self._data = self.folder / "data"
        command = [self._programs / "initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "--no-sync"]
        self.folder.chmod(0o777)
        done = subprocess.run(
            [*map(str, command), "-E", "UTF8", "--locale=C.UTF-8"], capture_output=True, text=True, **self._who()
        )
        if done.returncode:
            raise NotInstalled(f"initdb failed: {done.stderr}")

    @property
    def url(self) -> str:
        """Of the maintenance database, in the form that Heroku writes."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def _command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
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

    def _who(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root; Debian's package brings a user for it."""
        if os.geteuid() != 0:
            return {}
        user = pwd.getpwnam("postgres")
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


class PrivateRedis(Server):
    """Redis that keeps nothing on disk."""

    def __init__(self) -> None:
        super().__init__()
        self._program = shutil.which("redis-server") or ""
        if not self._program:
            shutil.rmtree(self.folder)
            raise NotInstalled("Redis is not installed: apt-get install redis-server")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return [self._program, *options, "--dir", str(self.folder)]

    def _answers(self) -> bool:
        return speaks(self.url)


def speaks(url: str) -> bool:
    """Whether a Redis answers there."""
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=2) as client:
        return bool(client.ping())
    return False


def new_database(server_url: str) -> tuple[str, Callable[[], None]]:
    """An empty database on this server: its URL, and what removes it, whoever is connected."""
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
    found = shutil.which("postgres")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        raise NotInstalled("PostgreSQL is not installed: apt-get install postgresql")
    return folders[-1]
