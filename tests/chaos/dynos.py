"""The Procfile run as Heroku runs it, without Heroku: dynos with a disk of their own, a router, and releases.

A dyno starts with a fresh copy of the checkout, and its disk is deleted when it has ended. SIGTERM goes to all of its
processes, twice. Until the new release listens, and where a dyno gives no reply, the router answers 503.
https://devcenter.heroku.com/articles/dynos https://devcenter.heroku.com/articles/error-codes
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simulator.application import ROOT, Application, Checkout, Process, Worker
from simulator.delivery import new_session
from simulator.processes import free_port
from tests.chaos.deployment import Deployment
from tests.test_house import tracked

NOT_DEPLOYED = ("tests", "bench", "docs", "examples")
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def procfile() -> dict[str, str]:
    """The commands of the Procfile by their process type."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines)}


class Dyno(Process):
    """One process type of the Procfile, with a disk that `wipe` deletes."""

    def __init__(self, kind: str, number: int, slug: Path, settings: Mapping[str, str], folder: Path) -> None:
        self.kind, self.port = kind, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.disk = folder / f"disk-{kind}-{number}"
        shutil.copytree(slug, self.disk)
        (self.disk / "tmp").mkdir()
        own = {
            "DYNO": f"{kind}.1",
            "PORT": str(self.port),
            "HOME": str(self.disk),
            "TMPDIR": str(self.disk / "tmp"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        super().__init__([], {**settings, **own}, folder / f"{kind}-{number}.log", Checkout(self.disk))

    def command(self) -> list[str]:
        return ["bash", "-c", procfile()[self.kind]]

    def ready(self) -> bool:
        if self.kind == "worker":
            return "Archiving into" in self.output()
        with contextlib.suppress(OSError), new_session() as session:  # what requests raises is an OSError
            return session.get(f"{self.url}/healthz", timeout=2).status_code == 200
        return False

    def terminate(self) -> None:
        """SIGTERM to all of the dyno's processes, twice."""
        for _ in range(2):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGTERM)

    def wipe(self) -> int:
        """Its exit status, once it has ended within Heroku's 30 seconds; then its disk is gone."""
        status = self.wait(30)
        shutil.rmtree(self.disk)
        return status


class Router(socketserver.ThreadingTCPServer):
    """Passes each connection on to `port`, where the web dyno of the newest release listens, or answers 503."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.port = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()


class Connection(socketserver.BaseRequestHandler):
    server: Router
    request: socket.socket

    def handle(self) -> None:
        replied = False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port)) as web:
            threading.Thread(target=_pass_on, args=(self.request, web), daemon=True).start()
            while data := web.recv(65536):
                replied = True
                self.request.sendall(data)
        with contextlib.suppress(OSError):
            if not replied:
                self.request.sendall(BUSY)
            self.request.shutdown(socket.SHUT_WR)
            self.request.settimeout(5)
            while self.request.recv(65536):
                pass  # a connection that is closed with unread bytes is reset, and the reply with it


def _pass_on(client: socket.socket, web: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := client.recv(65536):
            web.sendall(data)
        web.shutdown(socket.SHUT_WR)


class Dynos(Deployment):
    """A web dyno and a worker dyno on Postgres behind a router; the folder stands for the bucket of a cloud.

    `release` replaces both. `statuses` are the exit statuses of the dynos that have ended, each with its process type.
    """

    def __init__(self, mode: str, folder: Path, **more: Any) -> None:
        super().__init__(mode, folder, **more)
        self.statuses: list[tuple[str, int]] = []
        self.router = Router()
        self.door = self.router.url
        self._releases = 0
        self._slug = folder / "slug"
        for path in tracked():
            inside = path.relative_to(ROOT)
            if inside.parts[0] not in NOT_DEPLOYED:
                (self._slug / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self._slug / inside)

    def _processes(
        self, settings: Mapping[str, str], checkout: Checkout | None
    ) -> tuple[list[Application], list[Worker]]:
        unset = ("EMBEDDED_WORKER", "LOG_LEVEL", "WEB_CONCURRENCY")  # the Procfile's part, or the default
        self._settings_of_dynos = {name: text for name, text in settings.items() if name not in unset} | {
            "ALLOW_EPHEMERAL_STORAGE": "true",
            "HEROKU_APP_DEFAULT_DOMAIN_NAME": "tapes-0123456789ab.herokuapp.com",  # in place of PUBLIC_URL
            # As Heroku's buildpack for Python sets them.
            "WEB_CONCURRENCY": "2",
            "FORWARDED_ALLOW_IPS": "*",
            "GUNICORN_CMD_ARGS": "--access-logfile -",
            "PYTHONPYCACHEPREFIX": str(self.folder / "compiled"),
        }
        return [], []

    def release(self) -> None:
        """What a `git push` does: the release command beside the old dynos, then new dynos, and the old ones end."""
        self._releases += 1
        command = self._dyno("release")
        command.spawn()
        assert command.wait(60) == 0, command.last_lines()
        command.wipe()
        old, new = [*self.webs, *self.workers], [self._dyno("web"), self._dyno("worker")]
        for dyno in new:
            dyno.spawn()
        self.webs, self.workers = new[:1], new[1:]
        self.router.port = new[0].port
        for dyno in old:
            dyno.terminate()
        self.statuses += [(dyno.kind, dyno.wipe()) for dyno in old]
        for dyno in new:
            dyno.wait_until_ready()

    def logs(self) -> str:
        """Everything that any dyno wrote."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*-*.log"))

    def _dyno(self, kind: str) -> Dyno:
        return Dyno(kind, self._releases, self._slug, self._settings_of_dynos, self.folder)
