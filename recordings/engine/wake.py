"""Wakes the threads of a worker when copies are due: by a bell in their process, or by the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from recordings.catalogue.changes import Changes
from recordings.catalogue.schedule import Schedule

log = logging.getLogger(__name__)

# How often a listener looks for due copies without a notification: a pooler may not pass notifications on.
_LOOK_SECONDS = 2.0


class Bell:
    """Wakes threads that sleep. A thread that reads `rings` before it looks for work misses no later ring."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self.rings = 0
        self.asleep = 0  # threads that wait

    def ring(self, copies: int = 1) -> None:
        """So many copies are due: wake as many threads."""
        with self._rung:
            self.rings += 1
            self._rung.notify(copies)

    def ring_all(self) -> None:
        """Wake every thread."""
        with self._rung:
            self.rings += 1
            self._rung.notify_all()

    def wait(self, rings_before: int, seconds: float) -> None:
        """Sleep until `rings` differs from `rings_before`, for so many seconds at most."""
        with self._rung:
            self.asleep += 1
            self._rung.wait_for(lambda: self.rings != rings_before, seconds)
            self.asleep -= 1


class Listener:
    """Rings the bell for copies that other processes made due, and for those whose time has come.

    `full` names the storages that no thread can work for now; at most `threads` copies are looked for.
    """

    def __init__(
        self,
        bell: Bell,
        schedule: Schedule,
        *,
        threads: int = 8,
        full: Callable[[], Collection[str]] = frozenset,
        look: float = _LOOK_SECONDS,
    ) -> None:
        self._bell = bell
        self._schedule = schedule
        self._threads = threads
        self._full = full
        self._look = look

    def listen(self, stopping: threading.Event) -> None:
        """Listen until `stopping`. After an error, such as `CatalogueUnavailable`, call it again."""
        changes = Changes(self._schedule.database)
        try:
            while not stopping.is_set():
                changes.wait(self._ring_for_due(), stopping)
        finally:
            changes.close()

    def _ring_for_due(self) -> float:
        """Wake as many threads as copies are due. Returns the seconds until the next look."""
        if not self._bell.asleep:
            return self._look  # no thread sleeps: each looks for the next copy when it ends its work
        due, seconds = self._schedule.due(self._threads, self._full())
        if due:
            self._bell.ring(due)
        return min(self._look, seconds or self._look)
