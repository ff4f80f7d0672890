"""The application's processes, started as an operator starts them: gunicorn, `flask worker`, and single commands.

Here live their environment, their log, their start and their end, for the demo, the tests and the benchmarks alike.
Nothing of the application is imported: it is started and asked, like any deployment. What the demo does with it is in
`demo`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .delivery import new_session
from .processes import ApplicationError, environment, forked_by, free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Checkout:
    """A checkout of the application, and the Python that runs it."""

    root: Path = ROOT
    python: str = sys.executable

    def flask(
        self, arguments: Sequence[str], env: Mapping[str, str], limit: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run `flask <arguments>` to its end. `subprocess.TimeoutExpired` after `limit` seconds."""
        command = [self.python, "-m", "flask", "--app", "wsgi", *arguments]
        return subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True, timeout=limit)

    def list_recordings(self, env: Mapping[str, str], limit: float = 60) -> list[dict[str, Any]]:
        """What `flask recordings list --json` prints, parsed. `ApplicationError` when it fails."""
        command = "`flask recordings list --json`"
        try:
            done = self.flask(["recordings", "list", "--json"], env, limit)
        except subprocess.TimeoutExpired:
            raise ApplicationError(f"{command} did not end within {limit:.0f} s.") from None
        if done.returncode:
            raise ApplicationError(f"{command} failed:\n{done.stderr.strip()}")
        try:
            return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        except ValueError as error:
            raise ApplicationError(f"{command} printed a line that is not JSON: {error}.") from None


class Process:
    """`python -m <module>` in a checkout's root, with all that it forks; it may be started again after its end.

    `env` is its whole environment, and `log` the file that takes its output. As a context manager it is started, if it
    does not run yet, and stopped on every way out.
    """

    def __init__(
        self, module: Sequence[str], settings: Mapping[str, str], log: Path, checkout: Checkout | None = None
    ) -> None:
        self.checkout = checkout or Checkout()
        self.env = environment(settings)
        self.log = log
        self._module = module
        self._log_begins = 0
        self._child: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The program and its arguments."""
        return [self.checkout.python, "-m", *self._module]

    def spawn(self) -> None:
        """Start it; nothing is waited for."""
        with self.log.open("ab") as output:
            self._log_begins = output.tell()
            # A session of its own: Ctrl-C reaches this process alone, which then ends the child in order.
            self._child = subprocess.Popen(
                self.command(),
                cwd=self.checkout.root,
                env=self.env,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start(self, limit: float = 60) -> Self:
        """Start it and wait until it is ready."""
        self.spawn()
        self.wait_until_ready(limit)
        return self

    def __enter__(self) -> Self:
        if not self.running:
            self.spawn()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def started(self) -> bool:
        """It was started at least once."""
        return self._child is not None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Its process id, and the id of its process group."""
        return self._started().pid

    @property
    def children(self) -> list[int]:
        """The processes that it forked, one generation; none once it has ended."""
        return forked_by(self.pid)

    def ready(self) -> bool:
        """Whether it does its work now."""
        return self.running

    def check_running(self) -> bool:
        """True; `ApplicationError` with the end of its log when it does not run any more."""
        if self.running:
            return True
        raise ApplicationError(f"{' '.join(self._module)} has ended:\n{self.last_lines()}")

    def wait_until_ready(self, limit: float = 60, *, pause: float = 0.02) -> None:
        """`ApplicationError` when it ends before it is ready, `TooLate` after `limit` seconds."""
        wait_for(
            lambda: self.check_running() and self.ready(),
            f"{' '.join(self._module)} is ready",
            limit,
            pause=pause,
            more=self.last_lines,
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, not to what it forked; nothing is waited for."""
        os.kill(self.pid, number)

    def wait(self, limit: float = 30) -> int:
        """Its exit status, once it has ended. `subprocess.TimeoutExpired` after `limit` seconds."""
        return self._started().wait(limit)

    def kill(self) -> None:
        """`kill -9` to the process and to all that it forked."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def stop(self, patience: float = 30.0) -> None:
        """SIGTERM, as a platform sends it; after `patience` seconds `kill`."""
        if not self.running:
            return
        self.signal(signal.SIGTERM)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(patience)
        finally:  # also after a second Ctrl-C
            if self.running:
                self.kill()

    def output(self) -> str:
        """Its log since it was started last."""
        with self.log.open(errors="replace") as log:
            log.seek(self._log_begins)
            return log.read()

    def last_lines(self, count: int = 12) -> str:
        """The end of its log."""
        return "\n".join(self.output().splitlines()[-count:])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise ApplicationError(f"{' '.join(self._module)} was not started.")
        return self._child


class Gunicorn(Process):
    """gunicorn with any WSGI application, on a loopback port that stays the same after a restart."""

    def __init__(
        self,
        app: str,
        settings: Mapping[str, str],
        log: Path,
        *options: str,
        port: int | None = None,
        checkout: Checkout | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(["gunicorn", app, "--bind", f"127.0.0.1:{self.port}", *options], settings, log, checkout)

    def ready(self) -> bool:
        """The port takes connections, and a process was forked that answers them: gunicorn listens before it forks."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0 and self.children != []


class Application(Gunicorn):
    """`gunicorn "wsgi:create_app()"` with the gunicorn.conf.py of its checkout; PUBLIC_URL is its own address."""

    def __init__(
        self, settings: Mapping[str, str], log: Path, *, port: int | None = None, checkout: Checkout | None = None
    ) -> None:
        super().__init__("wsgi:create_app()", settings, log, port=port, checkout=checkout)
        self.env.setdefault("PUBLIC_URL", self.url)

    def ready(self) -> bool:
        """`/healthz` answers 200."""
        return self.serves("/healthz")

    def serves(self, path: str) -> bool:
        """This page is there: it answers 200."""
        with contextlib.suppress(OSError), new_session() as session:  # what requests raises is an OSError
            return session.get(f"{self.url}{path}", timeout=2).status_code == 200
        return False

    def flask(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """`flask <arguments>` with the same settings, as an operator types it beside the running application."""
        return self.checkout.flask(arguments, self.env | settings)

    def list_recordings(self) -> list[dict[str, Any]]:
        """What `flask recordings list --json` prints, parsed."""
        return self.checkout.list_recordings(self.env)


class Worker(Process):
    """`flask worker`: a process that archives and serves nothing."""

    def __init__(self, settings: Mapping[str, str], log: Path, checkout: Checkout | None = None) -> None:
        super().__init__(["flask", "--app", "wsgi", "worker"], settings, log, checkout)

    def ready(self) -> bool:
        return "Archiving into" in self.output()
