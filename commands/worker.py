"""`flask worker`: archive recordings in a process of its own."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Protocol

import click

from .parts import with_parts

if TYPE_CHECKING:
    from recordings.engine.engine import Engine
    from settings import Settings

# Heroku kills a process 30 s after it asked it to stop: https://devcenter.heroku.com/articles/dynos#shutdown
STOP_SECONDS = 20


class Parts(Protocol):
    """What this command uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def engine(self) -> Engine: ...
    def close(self, timeout: float) -> None: ...


HELP = f"""
Archive recordings, in a process of its own, until SIGTERM or Ctrl-C.

When the worker is asked to stop, copies in work may finish. After {STOP_SECONDS} seconds at most, the worker gives the
unfinished ones back, for another worker to take at once.
"""


@click.command("worker", help=HELP, short_help="Archive recordings until it is told to stop.")
@with_parts
def command(parts: Parts) -> None:
    """See HELP, which takes the seconds from the constant."""
    stop_asked = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop_asked.set())
    parts.engine.start()
    storages = ", ".join(parts.settings.storage_url)
    click.echo(f"Archiving into {storages} with {parts.settings.worker_threads} threads.", err=True)
    while not stop_asked.wait(3600):
        pass
    click.echo(f"Stopping: within {STOP_SECONDS} s, copies in work finish or are given back.", err=True)
    parts.close(STOP_SECONDS)
