"""A private PgBouncer on a loopback port, out of Debian's `pgbouncer` package, before a `PrivatePostgres`.

It pools transactions: each one may get another connection of the server. https://www.pgbouncer.org/features.html
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg

from simulator.processes import free_port, wait_for

from .databases import PATIENCE, NotInstalled, PrivatePostgres

# https://www.pgbouncer.org/config.html - `auth_type=any` asks nobody who he is; the user of the server is fixed.
SETTINGS = """\
[databases]
postgres = host=127.0.0.1 port={server} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
"""


class PrivatePgBouncer:
    """A child process that shares `pool` connections of the server among all clients; a context manager."""

    def __init__(self, server: PrivatePostgres, *, pool: int = 3) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise NotInstalled("PgBouncer is not installed: apt-get install pgbouncer")
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="tapekeeper-pgbouncer-", dir="/tmp"))
        self._folder.chmod(0o755)  # the user that it becomes reads its settings
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(SETTINGS.format(server=server.port, port=self.port, pool=pool))
        # It refuses to run as root.
        self._command = [program, *(["-u", "postgres"] if os.geteuid() == 0 else []), str(settings)]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the server's maintenance database, through the pool."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        """Start it and wait until it passes a query on."""
        with (self._folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.process = process
        wait_for(lambda: process.poll() is not None or self._answers(), "PgBouncer answers", PATIENCE, more=self.output)
        if process.poll() is not None:
            raise NotInstalled(f"PgBouncer did not start: {self.output()}")
        return self

    def close(self) -> None:
        """End it at once, and remove its folder."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def output(self) -> str:
        """The end of its log."""
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2, prepare_threshold=None) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True
