"""How the threads of a worker hear of work: by a bell inside their process, by the database from other processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from recordings.catalogue.changes import Changes
from recordings.catalogue.schedule import Schedule

log = logging.getLogger(__name__)

# A listener looks by itself so often, whatever it was told: a pooler may keep notifications from it.
_LOOK_SECONDS = 2.0


class Bell:
    """Wakes threads that sleep. A thread that notes `rings` before it looks for work misses no later ring."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self.rings = 0
        self.asleep = 0  # threads that wait

    def ring(self, copies: int = 1) -> None:
        """So many copies are due: as many threads wake up."""
        with self._rung:
            self.rings += 1
            self._rung.notify(copies)

    def ring_all(self) -> None:
        """Every thread wakes up."""
        with self._rung:
            self.rings += 1
            self._rung.notify_all()

    def wait(self, noted: int, seconds: float) -> None:
        """Sleep until there are other rings than those that were noted, or for so long."""
        with self._rung:
            self.asleep += 1
            self._rung.wait_for(lambda: self.rings != noted, seconds)
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
        """Listen until `stopping`. Raises `CatalogueUnavailable`, among others: then call it again."""
        changes = Changes(self._schedule.database)
        try:
            while not stopping.is_set():
                changes.wait(self._ring_for_due(), stopping)
        finally:
            changes.close()

    def _ring_for_due(self) -> float:
        """Wake as many threads as there are copies due. Returns the seconds until it is worth to look again."""
        if not self._bell.asleep:
            return self._look  # a thread that ends its work looks by itself
        due, seconds = self._schedule.due(self._threads, self._full())
        if due:
            self._bell.ring(due)
        return min(self._look, seconds or self._look)
