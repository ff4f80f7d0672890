"""Starts what is measured, as it is deployed: the application and the pretend Vonage, each in processes of its own.

Processes, folders and the application's environment live here; no figure is taken here.
"""

from __future__ import annotations

import functools
import os
import runpy
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import psycopg

from simulator import public_pem
from simulator.application import ROOT, Application, Checkout, Gunicorn, Process, Worker
from simulator.demo import new_private_key
from simulator.processes import environment, forked_by, wait_for
from tests.services.application import APPLICATION_ID, settings_below
from tests.services.databases import NotInstalled, PrivatePostgres

# The SDK's host check looks for this text anywhere in the URL; so both sides fetch the very same URL.
SDK_PLEASER = "?from=vonage.com"
MODES = ("embedded, SQLite", "web and worker, SQLite", "web and worker, Postgres")


class LeftOut(Exception):
    """A benchmark cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class Options:
    """How a benchmark is run: `quick` does less of everything; `checkout` is the application that is measured."""

    quick: bool = False
    checkout: Checkout = Checkout()


@dataclass(frozen=True)
class Stage:
    """A folder that is removed afterwards, an application's private key, and the pretend Vonage's origin."""

    folder: Path
    key: Path
    vonage: str
    checkout: Checkout

    def url(self, size: int) -> str:
        """A new file's address at the pretend Vonage; `size` in bytes."""
        return f"{self.vonage}/v1/files/sized-{size}-{uuid.uuid4()}{SDK_PLEASER}"

    def token(self) -> str:
        """What the pretend Vonage asks of whoever downloads; it is good for an hour."""
        now = int(time.time())
        claims = {"application_id": APPLICATION_ID, "iat": now - 10, "exp": now + 3600, "jti": str(uuid.uuid4())}
        return jwt.encode(claims, self.key.read_text(), algorithm="RS256")

    def fresh(self, name: str) -> Path:
        """A new folder. The folder of the last round stays until the end.

        For minutes after many files were deleted ext4 makes new ones slowly: it passes over every inode that was freed.
        https://github.com/torvalds/linux/blob/v6.6/fs/ext4/ialloc.c (recently_deleted)
        """
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def settings(self, home: Path, **changes: str) -> dict[str, str]:
        """The settings of an application that keeps its catalogue and its recordings in the folder `home`."""
        (home / "plugins").mkdir(exist_ok=True)
        return settings_below(
            home, str(self.key), PUBLIC_URL="https://bench.example.com", RECORDING_HOSTS=self.vonage, **changes
        )

    @contextmanager
    def application(self, home: Path, settings: Mapping[str, str]) -> Iterator[Application]:
        """A web process that answers, with the gunicorn.conf.py of its checkout."""
        with Application(settings, home / "log", checkout=self.checkout) as web:
            web.wait_until_ready()
            yield web

    def worker(self, home: Path, settings: Mapping[str, str]) -> Worker:
        """A `flask worker`; as a context manager it is started, and nothing is waited for."""
        return Worker(settings, home / "worker-log", self.checkout)

    def listed(self, settings: Mapping[str, str]) -> list[dict[str, Any]]:
        """What `flask recordings list --json` says at the end: the figures count only if it agrees."""
        return self.checkout.list_recordings(environment(settings))


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder beside the code, on the disk that a default deployment writes to: /tmp may be memory."""
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "var") as path:
        yield Path(path)


@contextmanager
def stage(options: Options) -> Iterator[Stage]:
    """Everything that stands before the application is started."""
    with folder() as home:
        key, private_key = home / "private.pem", new_private_key()
        key.write_text(private_key)
        env = {"SIMULATOR_APPLICATION_ID": APPLICATION_ID, "SIMULATOR_PUBLIC_KEY": public_pem(private_key)}
        # The SDK does not try again when its idle connection was closed.
        with like_ours("simulator.server:from_environment()", env, home / "vonage.log", "--keep-alive", "75") as vonage:
            yield Stage(home, key, vonage.url, options.checkout)


@contextmanager
def like_ours(app: str, env: Mapping[str, str], log: Path, *more: str) -> Iterator[Gunicorn]:
    """Serve any WSGI application by one process of our own gunicorn's kind, without what only our application needs."""
    same = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    options = ["--config", os.devnull, "--worker-class", same["worker_class"], "--threads", str(same["threads"])]
    with Gunicorn(app, env, log, *options, "--no-control-socket", *more) as server:
        server.wait_until_ready()
        yield server


@functools.cache
def without_postgres() -> str:
    """Why PostgreSQL cannot run here; empty where it can."""
    try:
        PrivatePostgres().close()
    except NotInstalled as missing:
        return str(missing)
    return ""


def modes() -> tuple[list[str], list[str]]:
    """Those of `MODES` that can run here, and a note of the others."""
    if not (missing := without_postgres()):
        return list(MODES), []
    return [mode for mode in MODES if "Postgres" not in mode], [f"the mode with Postgres was left out: {missing}"]


@dataclass(frozen=True)
class Deployed:
    """A whole deployment that is ready. `stored` asks its catalogue how many copies are stored."""

    web: Application
    processes: list[Process]
    server: PrivatePostgres | None
    stored: Callable[[], int]

    @property
    def pids(self) -> list[int]:
        """Every process, forked ones and those of the Postgres server included."""
        started = [process.pid for process in self.processes]
        if self.server and self.server.process:
            started.append(self.server.process.pid)
        return [pid for parent in started for pid in (parent, *forked_by(parent))]


@contextmanager
def deployed(here: Stage, mode: str) -> Iterator[Deployed]:
    """One of `MODES`, with one process of each kind."""
    home = here.fresh("mode")
    with ExitStack() as stack:
        server = stack.enter_context(PrivatePostgres(durable=True)) if "Postgres" in mode else None
        changes = {"EMBEDDED_WORKER": "true" if "embedded" in mode else "false"}
        settings = here.settings(home, **changes | ({"DATABASE_URL": server.url} if server else {}))
        web = stack.enter_context(here.application(home, settings))
        processes: list[Process] = [web]
        if "worker" in mode:
            processes.append(stack.enter_context(here.worker(home, settings)))
            processes[-1].wait_until_ready()
        yield Deployed(web, processes, server, stack.enter_context(asking(home, server)))


def wait_stored(home: Path, count: int, process: Process, limit: float = 120) -> float:
    """Until so many copies are stored; returns when that was seen, 20 ms late at most (`time.perf_counter`)."""
    with asking(home) as stored:
        wait_for(lambda: process.check_running() and stored() >= count, f"{count} copies are stored", limit)
        return time.perf_counter()


@contextmanager
def asking(home: Path, server: PrivatePostgres | None = None) -> Iterator[Callable[[], int]]:
    """A function that counts the stored copies in the catalogue. Running a command would cost processor time."""
    query = "SELECT count(*) FROM copies WHERE state = 'stored'"
    connection: Any
    if server:
        connection = psycopg.connect(server.url, autocommit=True)
    else:
        connection = closing(sqlite3.connect(f"file:{home}/tapekeeper.db?mode=ro", uri=True))
    with connection as database:
        yield lambda: int(database.execute(query).fetchone()[0])
