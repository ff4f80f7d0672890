"""The application as a child process, as an operator would run it, and its own commands.

Here lives the process, its environment, its log and its end. What the demo does with it is in `demo`. Nothing of the
application is imported: it is started and asked, like any deployment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from .delivery import new_session

ROOT = Path(__file__).resolve().parent.parent
# What a child needs of our own environment. The rest stays out, so that a DATABASE_URL or STORAGE_URL of the person
# who runs the demo cannot lead it to a real store.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class ApplicationError(Exception):
    """The application did not start, or one of its commands failed; the message says what to do."""


def free_port() -> int:
    """A loopback port for a server that binds it by its number, now and after each restart.

    On Linux nobody else is given it while this process lives. Elsewhere it was free a moment ago.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    if sys.platform == "linux":
        # Whoever asks for any port, or connects, is not given one that is bound; a server that names it and sets
        # SO_REUSEADDR is, because nothing listens there: "SO_REUSEADDR" in socket(7). So it is never closed.
        probe.detach()
    else:
        probe.close()
    return port


class Application:
    """`gunicorn "wsgi:create_app()"` in the repository's root; a context manager that ends it on every way out.

    `settings` are environment variables; `log` is a file that takes its output; `root` holds `wsgi.py`.
    """

    def __init__(self, settings: Mapping[str, str], port: int, log: Path, root: Path = ROOT) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._env = {**inherited, "FLASK_SKIP_DOTENV": "1", "PYTHONUNBUFFERED": "1", **settings}
        self._port = port
        self._root = root
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "gunicorn", "wsgi:create_app()", "--bind", f"127.0.0.1:{self._port}"]
        with self.log.open("ab") as output:
            # A session of its own: Ctrl-C reaches the demo alone, which then ends the child in order.
            self._child = subprocess.Popen(
                command, cwd=self._root, env=self._env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, patience: float = 15.0) -> None:
        """SIGTERM and wait; after `patience` seconds SIGKILL to the whole session, workers too."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.terminate()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(patience)
        finally:  # also after a second Ctrl-C
            if self._child.poll() is None:
                os.killpg(self._child.pid, signal.SIGKILL)
                self._child.wait()

    def wait_until_healthy(self, limit: float = 20.0) -> None:
        """Until `/healthz` answers 200; `ApplicationError` when it dies first or takes more than `limit` seconds."""
        deadline = time.monotonic() + limit
        with new_session() as session:
            while not self._answers(session, "/healthz"):
                if self._child is not None and self._child.poll() is not None:
                    raise ApplicationError(f"The application stopped at its start:\n{self.last_lines()}")
                if time.monotonic() > deadline:
                    raise ApplicationError(f"The application did not answer {self.url}/healthz within {limit:.0f} s.")
                time.sleep(0.1)

    def answers(self, path: str) -> bool:
        """Whether this page is there: it answers 200."""
        with new_session() as session:
            return self._answers(session, path)

    def _answers(self, session: requests.Session, path: str) -> bool:
        try:
            return session.get(f"{self.url}{path}", timeout=1).status_code == 200
        except requests.RequestException:
            return False

    def list_recordings(self) -> list[dict[str, Any]]:
        """What `flask recordings list --json` prints, parsed."""
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "recordings", "list", "--json"]
        try:
            done = subprocess.run(command, cwd=self._root, env=self._env, capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            raise ApplicationError("`flask recordings list --json` did not end within 30 s.") from None
        if done.returncode:
            raise ApplicationError(f"`flask recordings list --json` failed:\n{done.stderr.strip()}")
        try:
            return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        except ValueError as error:
            raise ApplicationError(
                f"`flask recordings list --json` printed a line that is not JSON: {error}."
            ) from None

    def last_lines(self, count: int = 12) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])
