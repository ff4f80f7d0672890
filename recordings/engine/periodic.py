"""What a worker does now and then, beside archiving. What each task does is written where it is made."""

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
    """Does each task whose time has come. Each process keeps its own time, so a task must bear being done twice."""

    def __init__(self, tasks: Sequence[PeriodicTask], *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tuple(tasks)
        self._ticks = ticks
        self._due = dict.fromkeys((task.name for task in self._tasks), ticks())

    def __call__(self) -> None:
        """Do what is due. A task that fails is logged, and its turn comes again; the other tasks are done."""
        for task in self._tasks:
            now = self._ticks()
            if now < self._due[task.name]:
                continue
            self._due[task.name] = now + task.every
            try:
                task.run()
            except CatalogueUnavailable as error:
                log.warning("%s waits: %s", task.name, error)
            except BaseException:  # a task may call a plugin, and a plugin may exit
                log.exception("%s failed; everything else goes on, and it is tried again.", task.name)
