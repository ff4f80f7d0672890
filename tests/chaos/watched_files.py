"""The pretend Vonage's file host in a process of its own; it notes when two workers fetch one file at the same time.

It pauses in the middle of each file, so that a kill often lands there. Two transfers of one file that are both alive,
by their connections, are written to a journal: no recording may be worked on twice at a time. A worker that was killed
leaves a connection that its kernel has closed.

    CHAOS_JOURNAL=... CHAOS_PAUSES="0 0.2" SIMULATOR_...=... gunicorn --worker-class gthread --threads 64 \
        "tests.chaos.watched_files:from_environment()"
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from simulator import server

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


class WatchedFiles:
    """A WSGI application around the file host. Each file has a pause of its own in these bounds, in seconds."""

    def __init__(self, app: Any, journal: Path, least: float, most: float) -> None:
        self._app = app
        self._journal = journal
        self._least, self._most = least, most
        self._guard = threading.Lock()
        self._running: dict[str, set[socket.socket]] = defaultdict(set)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, client = environ["PATH_INFO"], environ["gunicorn.socket"]
        with self._guard:
            rivals = sum(_alive(other) for other in self._running[path])
            self._running[path].add(client)
            if rivals:
                self._note(f"overlap {path} {rivals + 1}")
        pause = self._least + (self._most - self._least) * (zlib.crc32(path.encode()) % 1000) / 1000
        return _Paused(self._app(environ, start_response), pause, lambda: self._ended(path, client))

    def _ended(self, path: str, client: socket.socket) -> None:
        with self._guard:
            self._running[path].discard(client)
            if not self._running[path]:
                del self._running[path]

    def _note(self, line: str) -> None:
        with self._journal.open("a") as journal:
            journal.write(f"{line}\n")


class _Paused:
    """A body that stops for a while when half of its first piece was sent."""

    def __init__(self, body: Iterable[bytes], pause: float, ended: Callable[[], None]) -> None:
        self._body = body
        self._pause = pause
        self._ended = ended

    def __iter__(self) -> Iterator[bytes]:
        for number, piece in enumerate(self._body):
            half = len(piece) // 2 if number == 0 else 0
            if half:
                yield piece[:half]
                time.sleep(self._pause)
            yield piece[half:]

    def close(self) -> None:
        self._ended()
        if hasattr(self._body, "close"):
            self._body.close()


def _alive(client: socket.socket) -> bool:
    poll = select.poll()
    try:
        poll.register(client, select.POLLRDHUP)
    except ValueError:  # closed on our side
        return False
    return not any(event & _GONE for _, event in poll.poll(0))


def from_environment() -> WatchedFiles:
    """For gunicorn; beside its own two variables it reads those of `simulator.server`."""
    journal = Path(os.environ["CHAOS_JOURNAL"])
    least, most = map(float, os.environ["CHAOS_PAUSES"].split())
    return WatchedFiles(server.from_environment(), journal, least, most)
