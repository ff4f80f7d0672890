"""The worker inside a web process. Of the web processes of one machine that share a SQLite file, one archives.

It is the process that holds the lock on a file. The lock only saves work; leases keep two workers from one copy. So a
process that cannot use the lock archives all the same. `serving` decides when the worker starts.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from recordings.catalogue.schedule import Schedule
from recordings.catalogue.workers import Workers
from recordings.errors import CatalogueUnavailable

from .engine import Engine
from .supervisor import Supervisor

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 120.0  # how long copies may be overdue before the process with the lock is checked
_DOUBT_SECONDS = 15.0  # between two such checks
_ALL_THE_SAME = "Archiving starts all the same: leases keep two workers from one copy."


class EmbeddedWorker:
    """Starts the engine in a web process: at once without a `lock` file, else when this process gets the lock.

    `where` is for the log: into which storages, and with how many threads. When due copies have waited for `patience`
    seconds, this process checks whether the process with the lock still archives. `look` is the pause in seconds
    between two attempts to get the lock.
    """

    def __init__(
        self,
        engine: Engine,
        supervisor: Supervisor,
        workers: Workers,
        schedule: Schedule,
        *,
        lock: Path | None,
        where: str = "",
        patience: float = _PATIENCE_SECONDS,
        look: float = 1.0,
    ) -> None:
        self._engine = engine
        self._supervisor = supervisor
        self._workers = workers
        self._schedule = schedule
        self._lock = lock
        self._where = where
        self._patience = patience
        self._look = look
        self.problem: str | None = None  # why the engine has not started although copies wait

    def start(self) -> None:
        """Start in the background, and return."""
        if self._lock is None:
            self._archive()
        else:
            self._supervisor.start("tapekeeper-embedded", self._start_when_locked)

    def _archive(self) -> None:
        log.info("Archiving in this process (pid %d) %s.", os.getpid(), self._where)
        self.problem = None
        self._engine.start()

    def _start_when_locked(self) -> None:
        assert self._lock is not None  # noqa: S101 - `start` has asked
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.error(
                "The file %s, by which the web processes agree who archives, cannot be opened: %s. %s Let the user "
                "with id %d own it, or delete it.",
                *(self._lock, error.strerror, _ALL_THE_SAME, os.getuid()),
            )
            self._archive()
            return
        try:
            archive = self._wait_for_lock(handle, self._lock)
            if archive:
                self._archive()
        except BaseException:
            os.close(handle)
            raise
        if not archive:  # else the handle stays open: with it the lock would go
            os.close(handle)

    def _wait_for_lock(self, handle: int, lock: Path) -> bool:
        """Wait until the engine may start. False when it was stopped first."""
        waited: float | None = None
        while not self._engine.stopping.is_set():
            try:
                # Never blocking: in a gevent worker a blocking flock stops the whole process.
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if waited is None:
                    log.info("Process %d stands by: another one holds %s and archives.", os.getpid(), lock)
                waited = (waited or 0.0) + self._look
            except OSError as error:  # as on network mounts without locks
                log.error("The file %s cannot be locked: %s. %s", lock, error.strerror, _ALL_THE_SAME)
                return True
            if waited >= self._patience:
                if self._holder_is_dead(lock):
                    return True
                waited = self._patience - min(self._patience, _DOUBT_SECONDS)
            self._engine.stopping.wait(self._look)
        return False

    def _holder_is_dead(self, lock: Path) -> bool:
        """Whether the process with the lock does not archive, and no other worker does.

        Logs what a person should do.
        """
        try:
            overdue = self._schedule.overdue()[1] >= self._patience
            living = self._workers.living() if overdue else 0
        except CatalogueUnavailable:
            return False
        if overdue and not living:
            log.error(
                "A process that does not archive holds %s, and copies that are due wait. %s Find that process (lsof "
                "names it) and end it.",
                *(lock, _ALL_THE_SAME),
            )
            return True
        problem = f"Another process holds {lock}, and copies that are due wait for minutes: it may be stuck."
        if overdue and self.problem is None:
            log.warning("%s Read its log, or restart it.", problem)
        self.problem = problem if overdue else None
        return False
