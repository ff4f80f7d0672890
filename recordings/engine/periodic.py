"""Chores that the sweep does now and then, beside dispatching what is due. What each chore does is written at it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recordings.errors import CatalogueUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """Something to do at most once in `every` seconds. What `run` returns is ignored."""

    name: str
    every: float
    run: Callable[[], object]


class PeriodicTasks:
    """Does each chore whose time has come; every process keeps its own time, so a chore must bear being done twice."""

    def __init__(self, chores: Sequence[PeriodicTask], *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._chores = tuple(chores)
        self._ticks = ticks
        self._due = dict.fromkeys((chore.name for chore in self._chores), ticks())

    def __call__(self) -> None:
        """Do what is due. A chore that fails is logged, and its turn comes again; the sweep goes on."""
        for chore in self._chores:
            now = self._ticks()
            if now < self._due[chore.name]:
                continue
            self._due[chore.name] = now + chore.every
            try:
                chore.run()
            except CatalogueUnavailable as error:
                log.warning("%s waits: %s", chore.name, error)
            except Exception:
                log.exception("%s failed; everything else goes on, and it is tried again.", chore.name)
