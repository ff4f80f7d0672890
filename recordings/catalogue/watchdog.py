"""Ends waits that no time-out of the driver ends: a server that is frozen keeps its connections open and says nothing.

The kernel of a frozen server still answers keepalives, so only a limit on our side helps: when the deadline passes, the
connection's socket is shut down, and the thread that waits for it gets an error at once.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recordings.timeouts import Deadline

log = logging.getLogger(__name__)

_GRACE_SECONDS = 0.5  # beyond the deadline, for the server's own statement time-out to come first

_LOOK_SECONDS = 0.25  # between two looks, while there are watches: an event has 2 s after its deadline


class Watchdog:
    """Watches sockets by their file descriptors. Its one thread starts with the first of them."""

    def __init__(self, *, grace: float = _GRACE_SECONDS, ticks: Callable[[], float] = time.monotonic) -> None:
        self._grace = grace
        self._ticks = ticks
        self._ends: dict[object, tuple[float, int]] = {}
        self._changed = threading.Condition()
        self._started = False

    @contextmanager
    def watching(self, descriptor: int, deadline: Deadline) -> Iterator[None]:
        """Shut this socket down if the block lasts longer than the deadline. The descriptor stays open meanwhile."""
        watch = object()
        with self._changed:
            if not self._started:
                threading.Thread(target=self._run, name="tapekeeper-watchdog", daemon=True).start()
                self._started = True  # only now: a thread that the system could not give is asked for again
            self._ends[watch] = (self._ticks() + deadline.left() + self._grace, descriptor)
            if len(self._ends) == 1:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._ends.pop(watch, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = self._ticks()
                for watch, (end, descriptor) in list(self._ends.items()):
                    if end <= now:
                        del self._ends[watch]
                        _shut_down(descriptor)
                self._changed.wait(_LOOK_SECONDS if self._ends else None)


def _shut_down(descriptor: int) -> None:
    log.warning("The database did not answer in time; the connection is given up.")
    try:
        with socket.socket(fileno=os.dup(descriptor)) as shared:
            shared.shutdown(socket.SHUT_RDWR)
    except OSError as error:  # closed by the other side meanwhile: the waiting thread knows
        log.debug("The connection was closed already: %s", error)
