"""Runs the periodic tasks of a worker, beside archiving. Which tasks there are is listed in `wsgi`."""

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
    """Runs each task that is due. Each process has its own times, so a task must do no harm when it runs twice."""

    def __init__(self, tasks: Sequence[PeriodicTask], *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tuple(tasks)
        self._ticks = ticks
        self._due = dict.fromkeys((task.name for task in self._tasks), ticks())

    def __call__(self) -> None:
        """Run the tasks that are due.

        A task that fails is logged and runs again later; the other tasks run all the same.
        """
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
