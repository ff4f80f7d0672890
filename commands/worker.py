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


class Parts(Protocol):
    """What this command uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def engine(self) -> Engine: ...


@click.command("worker", short_help="Archive recordings until it is told to stop.")
@with_parts
def command(parts: Parts) -> None:
    """Archive recordings, in a process of its own, until SIGTERM or Ctrl-C.

    When the worker is asked to stop, copies in work get some seconds to finish. The others go back, for another worker
    to take at once.
    """
    from recordings.engine.engine import STOP_SECONDS

    stop_asked = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop_asked.set())
    parts.engine.start()
    storages = ", ".join(parts.settings.storage_url)
    click.echo(f"Archiving into {storages} with {parts.settings.worker_threads} threads.", err=True)
    while not stop_asked.wait(3600):
        pass
    click.echo(f"Stopping: within {STOP_SECONDS:.0f} s, copies in work finish or are given back.", err=True)
