"""What is measured, set up as it is deployed: the application and the pretend Vonage, each a gunicorn of its own.

Processes, folders and the application's environment live here; no figure is taken here.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from simulator.application import PASSED_ON, free_port

ROOT = Path(__file__).resolve().parent.parent
APPLICATION_ID = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
SECRET = "a-signature-secret-as-long-as-Vonage-makes-them"
# The SDK's host check looks for this text anywhere in the URL; so both sides fetch the very same URL.
SDK_PLEASER = "?from=vonage.com"


@dataclass(frozen=True)
class Stage:
    """A folder that is thrown away afterwards, an application's key pair, and the pretend Vonage's origin."""

    folder: Path
    key: Path
    vonage: str

    def url(self, size: int) -> str:
        """A new file's address at the pretend Vonage; `size` in bytes."""
        return f"{self.vonage}/v1/files/sized-{size}-{uuid.uuid4()}{SDK_PLEASER}"

    def fresh(self, name: str) -> Path:
        """A new folder. The one of the last round stays until the end.

        For minutes after many files were deleted ext4 makes new ones slowly: it passes over every inode that was freed.
        https://github.com/torvalds/linux/blob/v6.6/fs/ext4/ialloc.c (recently_deleted)
        """
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def environment(self, home: Path, **changes: str) -> dict[str, str]:
        """The settings of an application that keeps its catalogue and its recordings in the folder `home`."""
        return {
            "FLASK_SKIP_DOTENV": "1",  # the `.env` of whoever measures is not read
            "VONAGE_APPLICATION_ID": APPLICATION_ID,
            "VONAGE_PRIVATE_KEY": str(self.key),
            "VONAGE_SIGNATURE_SECRET": SECRET,
            "PUBLIC_URL": "https://bench.example.com",
            "RECORDING_HOSTS": self.vonage,
            "DATABASE_URL": f"sqlite:///{home}/tapekeeper.db",
            "STORAGE_URL": f"file://{home}/recordings",
            **changes,
        }


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for a while, beside the code, on the disk that a default deployment writes to: /tmp may be memory."""
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "var") as path:
        yield Path(path)


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything that stands before the application is started."""
    with folder() as home:
        key = rsa.generate_private_key(65537, 2048)  # the size of Vonage's own
        (home / "private.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        env = {"SIMULATOR_APPLICATION_ID": APPLICATION_ID, "SIMULATOR_PUBLIC_KEY": public}
        with gunicorn("simulator.server:from_environment()", env, home / "vonage.log") as vonage:
            yield Stage(home, home / "private.pem", f"http://127.0.0.1:{vonage.port}")


@dataclass
class Server:
    """A gunicorn that answers."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def worker(self) -> int:
        """The process that serves: gunicorn's only child."""
        return self.workers[0]

    @property
    def workers(self) -> list[int]:
        """gunicorn's children."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in task.read_text().split()]


@contextmanager
def application(settings: Mapping[str, str], log: Path) -> Iterator[Server]:
    """Ours, with the gunicorn.conf.py that everybody gets."""
    with gunicorn("wsgi:create_app()", settings, log, ours=True) as server:
        yield server


@contextmanager
def gunicorn(app: str, env: Mapping[str, str], log: Path, *, ours: bool = False) -> Iterator[Server]:
    """Serve any WSGI application under our gunicorn's settings, less what concerns our own application alone."""
    port = free_port()
    options = ["--bind", f"127.0.0.1:{port}", "--workers", "1"]
    if app.startswith("simulator."):
        options += ["--keep-alive", "75"]  # the SDK does not try again when its idle connection was closed
    if not ours:
        same = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
        options += ["--config", os.devnull, "--worker-class", same["worker_class"], "--threads", str(same["threads"])]
        options += ["--no-control-socket"]
    with child(["gunicorn", app, *options], env, log) as process:
        server = Server(port, process)
        _until(lambda: _listens(port) and server.workers != [], process, log)  # it listens before it has forked
        yield server


@contextmanager
def child(module: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m <module>` in the repository's root with this environment, ended in order."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=ROOT, env={**inherited, **env}, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_stored(home: Path, count: int, process: subprocess.Popen[bytes], limit: float = 120) -> float:
    """Until so many copies are stored; returns when that was seen, 20 ms late at most (`time.perf_counter`)."""
    with _catalogue(home) as database:
        _until(lambda: _stored(database) >= count, process, home / "log", limit, 0.02)
        return time.perf_counter()


def stored(home: Path) -> int:
    """How many copies the catalogue calls stored; asked of its file, since any command would cost processor time."""
    with _catalogue(home) as database:
        return _stored(database)


def _catalogue(home: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{home}/tapekeeper.db?mode=ro", uri=True))


def _stored(database: sqlite3.Connection) -> int:
    found: tuple[int] = database.execute("SELECT count(*) FROM copies WHERE state = 'stored'").fetchone()
    return found[0]


def listed(settings: Mapping[str, str]) -> list[dict[str, Any]]:
    """What `flask recordings list --json` says at the end: the figures count only if it agrees."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "recordings", "list", "--json"]
    done = subprocess.run(command, cwd=ROOT, env={**inherited, **settings}, capture_output=True, check=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(
    true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, limit: float = 30, pause: float = 0.05
) -> None:
    deadline = time.monotonic() + limit
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"It {'stopped' if process.poll() is not None else 'took too long'}:\n{tail}")
        time.sleep(pause)
