"""The engine: the threads of a worker, which take copies that are due and archive them.

A copy's row in the catalogue is the job: the threads claim rows, and nothing else says what is to be done. A worker
that dies loses its leases, and another worker claims its copies; a worker that is stopped gives its copies back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType

from recordings.archive.heartbeat import Heartbeat
from recordings.catalogue.leases import Claim, Leases
from recordings.catalogue.schedule import Schedule
from recordings.errors import CatalogueUnavailable
from recordings.timeouts import Deadline

from .periodic import PeriodicTasks
from .supervisor import Supervisor
from .wake import Bell, Listener

log = logging.getLogger(__name__)

STOP_SECONDS = 18.0  # from the order to stop to the last lease given back
_LET_GO_SECONDS = 2.0  # the last part of STOP_SECONDS, in which unfinished work stops
_OUTAGE_SECONDS = 2.0  # between two attempts to use a database that is away
_LONGEST_SLEEP = 30.0  # of a thread for which the bell does not ring
_PERIODIC_SECONDS = 5.0


class Engine:
    """Archives copies in `threads` threads of this process, once it is started.

    `archive` makes one attempt at a claimed copy. `full` names the storages that have no room for another thread.
    `bell` is rung by whoever commits copies in this process. `tasks` are done now and then by one thread. `beside` are
    loops with a thread of their own each, until the event that they are given is set; a stop does not wait for them.
    """

    def __init__(
        self,
        archive: Callable[[Claim], None],
        leases: Leases,
        schedule: Schedule,
        heartbeat: Heartbeat,
        tasks: PeriodicTasks,
        supervisor: Supervisor,
        bell: Bell,
        *,
        threads: int = 8,
        full: Callable[[], Collection[str]] = frozenset,
        outage: float = _OUTAGE_SECONDS,
        beside: Mapping[str, Callable[[threading.Event], None]] = MappingProxyType({}),
    ) -> None:
        self._archive = archive
        self._leases = leases
        self._schedule = schedule
        self._heartbeat = heartbeat
        self._tasks = tasks
        self._supervisor = supervisor
        self._bell = bell
        self._threads = threads
        self._full = full
        self._outage = outage
        self._beside = beside
        self._running: list[threading.Thread] = []
        self._begun: set[str] = set()  # of the loops beside the workers
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start the threads, and return. When the database is away, the threads wait for it.

        Raises `RuntimeError` when the system has no thread to give; called again, it starts the rest.
        """
        runs = {f"tapekeeper-worker-{number}": self._work for number in range(1, self._threads + 1)}
        runs |= {"tapekeeper-listener": self._listen, "tapekeeper-periodic": self._do_tasks}
        for name in runs.keys() - {thread.name for thread in self._running}:
            self._running.append(self._supervisor.start(name, runs[name]))
        for name in self._beside.keys() - self._begun:
            self._supervisor.start(name, partial(self._beside[name], self.stopping))
            self._begun.add(name)

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Let copies in work finish, then give the rest back to other workers: `timeout` seconds in all.

        May be called again, and before a start.
        """
        let_go = min(_LET_GO_SECONDS, timeout)
        patience = Deadline(timeout - let_go)
        self.stopping.set()
        self._bell.ring_all()
        for thread in list(self._running):
            thread.join(patience.left())
        given_back = self._heartbeat.release_all(let_go)
        if given_back:
            log.warning("Stopped with %d copies unfinished; another worker takes them over.", len(given_back))

    # --- What the threads do -----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self.stopping.is_set():
            rings_before = self._bell.rings
            claim = self._next_claim()
            if claim is None:
                self._bell.wait(rings_before, 0 if self.stopping.is_set() else _LONGEST_SLEEP)
            elif self.stopping.is_set():
                self._leases.give_back(claim)
            else:
                self._archive_safely(claim)

    def _next_claim(self) -> Claim | None:
        """The copy to work on now; None when none is due. Waits for a database that is away."""
        while not self.stopping.is_set():
            try:
                return self._leases.claim_next(self._full())
            except CatalogueUnavailable as error:
                log.warning("A worker thread waits for the database. %s", error)
                self.stopping.wait(self._outage)
        return None

    def _archive_safely(self, claim: Claim) -> None:
        try:
            self._archive(claim)
        except BaseException:  # an error that no code foresaw, or a plugin's exit: the thread goes on
            log.exception(
                "Archiving %s in %s broke off. Its lease runs out, and then a worker tries it again.",
                claim.recording.recording_uuid,
                claim.storage,
            )

    def _listen(self) -> None:
        listener = Listener(self._bell, self._schedule, threads=self._threads, full=self._full)
        requeued = False
        while not self.stopping.is_set():
            try:
                if not requeued:
                    self._schedule.requeue_blocked()
                    requeued = True
                listener.listen(self.stopping)
            except CatalogueUnavailable as error:
                log.warning("The listener waits for the database. %s", error)
                self.stopping.wait(self._outage)

    def _do_tasks(self) -> None:
        while not self.stopping.is_set():
            self._tasks()
            self.stopping.wait(min(_PERIODIC_SECONDS, self._leases.lease))
