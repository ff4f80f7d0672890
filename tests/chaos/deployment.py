"""A whole deployment of real processes, in one of four modes. Each process may be killed and started again.

    embedded   one gunicorn with two processes, one of which archives; SQLite
    worker     one gunicorn and one `flask worker`; SQLite
    postgres   two gunicorns and two workers; one Postgres
    pgbouncer  the same; PgBouncer stands before Postgres

Each process has one port and one log for its whole life, however often it is started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from simulator import public_pem
from simulator.application import Application, Checkout, Gunicorn, Process, Worker
from simulator.demo import new_private_key
from simulator.processes import ApplicationError, environment
from tests.services.application import APPLICATION_ID, settings_below
from tests.services.databases import PrivatePostgres
from tests.services.pgbouncer import PrivatePgBouncer

MODES = ("embedded", "worker", "postgres")
POOLED = "pgbouncer"

# The connections that wait for NOTIFY, in the words of `Deployment.cut_connections`.
LISTENING = "query LIKE 'LISTEN %'"

# Short, so that a test soon sees how a kill is made good.
TIMES = {"LEASE_SECONDS": "3", "RETRY_FIRST_SECONDS": "1", "RETRY_MAX_SECONDS": "4"}


class FileHost(Gunicorn):
    """The pretend Vonage's files; see `watched_files`."""

    def __init__(self, folder: Path, public_key: str, pauses: str) -> None:
        self.journal = folder / "overlaps"
        self.journal.touch()
        settings = {
            "SIMULATOR_APPLICATION_ID": APPLICATION_ID,
            "SIMULATOR_PUBLIC_KEY": public_key,
            "CHAOS_JOURNAL": str(self.journal),
            "CHAOS_PAUSES": pauses,
        }
        # The gunicorn.conf.py in the repository's root is the application's.
        options = ["--config", os.devnull, "--no-control-socket", "--worker-class", "gthread", "--threads", "64"]
        super().__init__("tests.chaos.watched_files:from_environment()", settings, folder / "files.log", *options)

    def overlaps(self) -> list[str]:
        """The files that two living workers fetched at the same time."""
        return self.journal.read_text().splitlines()


class Deployment:
    """See the module. `webs`, `workers` and `files` are its processes; `postgres` is None on SQLite.

    `pauses` are the bounds of the pause within each file, in seconds; `changes` are further settings. A STORAGE_URL
    among them begins with a folder: the account looks into `storage`. Nothing is started yet: `running` does that.
    """

    def __init__(
        self,
        mode: str,
        folder: Path,
        *,
        pauses: str = "0 0.2",
        checkout: Checkout | None = None,
        **changes: str,
    ) -> None:
        self.mode, self.folder = mode, folder
        self.door = ""  # the address of a proxy that stands before all webs
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        self.postgres = PrivatePostgres() if mode in ("postgres", POOLED) else None
        self.pooler = PrivatePgBouncer(self.postgres) if self.postgres and mode == POOLED else None
        private_key = new_private_key()
        self.files = FileHost(folder, public_pem(private_key), pauses)
        settings = settings_below(folder, private_key, **self._settings() | TIMES | changes)
        self.env = environment(settings)
        self.folder_storage, *self.further_storages = settings["STORAGE_URL"].split()
        self.storage = Path(urlsplit(self.folder_storage).path)
        self.catalogue = Path(settings["DATABASE_URL"].removeprefix("sqlite:///"))  # on SQLite
        self.webs, self.workers = self._processes(settings, checkout)

    def _settings(self) -> dict[str, str]:
        settings = {
            "RECORDING_HOSTS": self.files.url,
            "EMBEDDED_WORKER": "true" if self.mode == "embedded" else "false",
            "WEB_CONCURRENCY": "2" if self.mode == "embedded" else "1",
            "LOG_LEVEL": "WARNING",
        }
        database = self.pooler or self.postgres
        return settings | ({"DATABASE_URL": database.url} if database else {})

    def _processes(
        self, settings: Mapping[str, str], checkout: Checkout | None
    ) -> tuple[list[Application], list[Worker]]:
        count = 2 if self.postgres else 1
        logs = [self.folder / f"web{number}.log" for number in range(count)]
        webs = [Application(settings, log, checkout=checkout) for log in logs]
        workers = 0 if self.mode == "embedded" else count
        with_address = {**settings, "PUBLIC_URL": webs[0].url}
        self.env["PUBLIC_URL"] = webs[0].url
        logs = [self.folder / f"worker{number}.log" for number in range(workers)]
        return webs, [Worker(with_address, log, checkout) for log in logs]

    @property
    def all(self) -> list[Process]:
        """The processes that are ours to kill."""
        return [*self.webs, *self.workers]

    @contextlib.contextmanager
    def running(self, *, workers: int = 2, files: bool = True) -> Iterator[Deployment]:
        """From when everything works until the end of the block; `workers` says how many of them start at once.

        Without `files` its file host stays away, because another one is in RECORDING_HOSTS.
        """
        processes: list[Process] = [*([self.files] if files else []), *self.webs, *self.workers[:workers]]
        with self.postgres or contextlib.nullcontext(), self.pooler or contextlib.nullcontext():
            for process in processes:
                process.spawn()
            try:
                for process in processes:
                    process.wait_until_ready()
                yield self
            finally:
                for process in [*self.all, self.files]:
                    if process.started:
                        process.kill()

    def stop(self, patience: float = 25) -> float:
        """SIGTERM to every process; the longest that one of them took to end, in seconds."""
        processes = [process for process in self.all if process.started]
        for process in processes:
            process.signal(signal.SIGTERM)
        return max(seconds_to_end(process, patience) for process in processes)

    def cut_connections(self, where: str = "true") -> int:
        """Let Postgres end its clients' connections of which this is true; how many those were."""
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND {where}"
        )
        assert self.postgres
        with psycopg.connect(self.postgres.url) as connection:
            return len(connection.execute(query).fetchall())

    def query(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of this query of the catalogue."""
        if self.postgres:
            with psycopg.connect(self.postgres.url) as connection:
                return connection.execute(query).fetchall()
        with contextlib.closing(sqlite3.connect(self.catalogue, timeout=30)) as connection:
            return connection.execute(query).fetchall()

    def count(self, where: str) -> int:
        """How many copies there are of which this is true, by the catalogue."""
        return int(self.query(f"SELECT count(*) FROM copies WHERE {where}")[0][0])

    def stored(self) -> set[str]:
        """The recordings that are stored in the folder, by the catalogue."""
        join = "recordings JOIN copies ON copies.recording_id = recordings.id"
        where = f"copies.state = 'stored' AND copies.storage = '{self.folder_storage}'"
        return {recording for (recording,) in self.query(f"SELECT recording_uuid FROM {join} WHERE {where}")}

    def unfinished(self) -> int:
        """The copies that are still to be stored in the folder."""
        return self.count(f"state <> 'stored' AND storage = '{self.folder_storage}'")

    def listed(self) -> dict[str, dict[str, Any]]:
        """What `flask recordings list --json` says, by recording_uuid."""
        return {row["recording_uuid"]: row for row in Checkout().list_recordings(self.env, 300)}

    def flask(self, *words: str, fails: int = 0) -> str:
        """What a `flask` command prints. `ApplicationError` when its exit status is neither 0 nor `fails`."""
        done = Checkout().flask(words, self.env)
        if done.returncode not in (0, fails):
            raise ApplicationError(f"flask {' '.join(words)}: {done.stderr}")
        return done.stdout


def seconds_to_end(process: Process, patience: float) -> float:
    """Wait for the end of a process that was told to stop; how long that took."""
    began = time.monotonic()
    process.wait(patience)
    return time.monotonic() - began
