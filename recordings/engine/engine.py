"""The job engine: hands ids of copies to worker threads, and sweeps up what no message speaks for.

The queue (`queues`) loses the jobs of a worker that dies, so it only ever says "look at copy X now": what is to be
done, and by whom, stands in the catalogue. Losing the whole queue loses nothing, and nobody who announces a recording
waits for it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huey import Huey

from recordings.archive.failures import RetryPolicy
from recordings.archive.heartbeat import Heartbeat
from recordings.catalogue.leases import Leases
from recordings.errors import CatalogueUnavailable

from .queues import HintConsumer, hand_over

log = logging.getLogger(__name__)

_TASK = "archive"
_OUTAGE_SECONDS = 5.0  # between two tries to use a queue that is away
_DATABASE_SECONDS = 2.0  # between two tries of a worker thread whose database is away
_COMPLAINT_SECONDS = 60.0  # the queue's troubles are logged so often, not once for each thread and second
_HEARING_SECONDS = 2.0  # that work gets to hear that it must stop
_SWEEP_SOON, _SWEEP_IDLE = 5.0, 15.0

# A sweep adds no more to a queue that holds so many messages: it is worked on, and must not grow by repetition.
_BACKLOG, _SWEEP_MOST = 1000, 500
# Hints of so many seconds, or so many hints, are handed over as one: a hand-over for each would slow the webhooks down.
_GATHER_SECONDS, _HANDFUL = 0.02, 50
_HINTS = 1000  # waiting to be handed to the queue; further ones are the sweep's


class Engine:
    """Dispatches copies and, once started, archives them in `threads` threads of this process.

    `archive` looks at one copy. Nothing is opened and no thread runs before the first dispatch or start.
    """

    def __init__(
        self,
        queue: Callable[[], Huey],
        archive: Callable[[int], None],
        leases: Leases,
        heartbeat: Heartbeat,
        policy: RetryPolicy,
        *,
        threads: int = 8,
        ticks: Callable[[], float] = time.monotonic,
        upkeep: Callable[[], None] = lambda: None,
    ) -> None:
        self._make_queue = queue
        self._archive = archive
        self._leases = leases
        self._heartbeat = heartbeat
        self._policy = policy
        self._threads = threads
        self._ticks = ticks
        self._upkeep = upkeep
        self._guard = threading.Lock()
        self._task: Any = None
        self._huey: Huey | None = None
        self._hints: deque[int] = deque(maxlen=_HINTS)
        self._hinted = threading.Condition()
        self._hinting: threading.Thread | None = None
        self._complained: float | None = None
        self._consumer: HintConsumer | None = None
        self.stopping = threading.Event()

    def announce(self, copy_id: int) -> None:
        """Say "look at this copy soon", for a webhook: it never waits for the queue and never raises.

        While the queue is away nothing is handed to it; the sweep finds the copy all the same.
        """
        with self._hinted:
            if not self._hints:
                self._hinted.notify()
            self._hints.append(copy_id)
            if self._hinting is None:
                self._hinting = self._thread("tapekeeper-hints", self._hint_on)

    def dispatch(self, *copy_ids: int) -> None:
        """Say "look at these copies now". Raises what the queue's driver raises; they are safe either way."""
        task = self._connected()
        hand_over(task.huey, [task.s(copy_id) for copy_id in copy_ids])
        if self._consumer is not None and not self.stopping.is_set():  # else it would take them out and drop them
            self._consumer.rouse()

    def start(self) -> None:
        """Start the worker threads and the sweep, and return. Waits for a queue that is away, in the background."""
        self._thread("tapekeeper-sweep", self._sweep_on)
        self._thread("tapekeeper-consumer", self._consume)

    def start_embedded(self, lock: Path) -> None:
        """Start in one process of this machine only: whichever of the web workers gets the lock, now or later."""
        self._thread("tapekeeper-embedded", lambda: self._start_when_locked(lock))

    def stop(self, timeout: float = 20) -> None:
        """Let running copies finish, then give the rest back to others: `timeout` seconds in all. May be repeated."""
        hearing = min(_HEARING_SECONDS, timeout)
        self.stopping.set()
        self._finish_hints()
        if self._consumer is not None and self._consumer.started.wait(1):
            self._consumer.shutdown_timeout = timeout - hearing
            self._consumer.stop(graceful=True)
        given_back = self._heartbeat.release_all(hearing)
        if given_back:
            log.warning("Stopped with %d copies unfinished; another worker takes them over.", len(given_back))
        if given_back:
            self._handed_over(*given_back)  # else a sweep finds them: they are due
        self.release()

    def release(self) -> None:
        """Close the connection to the queue, if there is one; a later dispatch opens another."""
        if self._huey is not None:
            self._huey.storage.close()

    def sweep(self) -> int:
        """Dispatch every copy whose time has come. Returns how many; a queue that is away gets none, later."""
        self._leases.expire(self._policy.backoff)
        room = self._room()
        due = self._leases.due(limit=room) if room > 0 else []
        if due and not self._handed_over(*due):
            self._leases.postpone(due, _OUTAGE_SECONDS)
            return 0
        return len(due)

    def _room(self) -> int:
        try:
            self._connected()
            assert self._huey is not None  # noqa: S101 - _connected made it
            return min(_SWEEP_MOST, _BACKLOG - int(self._huey.pending_count()))
        except Exception as error:  # whatever the queue's driver raises
            self._complain(error)
            return 0

    def _connected(self) -> Any:
        with self._guard:
            if self._task is None:
                self._huey = self._make_queue()
                # The name is part of each message: web and worker must agree on it, wherever this is called from.
                self._task = self._huey.task(name=_TASK, retries=0)(self._look_at)
            return self._task

    def _look_at(self, copy_id: int) -> None:
        while not self.stopping.is_set():
            try:
                self._archive(copy_id)
                return
            except CatalogueUnavailable as error:
                # Waiting here, not for a sweep: else a short outage would empty the queue for nothing.
                log.warning("Copy %d waits for the database. %s", copy_id, error)
                self.stopping.wait(_DATABASE_SECONDS)

    def _thread(self, name: str, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def _complain(self, error: Exception) -> None:
        now = self._ticks()
        if self._complained is None or now - self._complained > _COMPLAINT_SECONDS:
            self._complained = now
            log.warning(
                "The queue cannot be used; it is tried again by itself, and nothing is lost. Check QUEUE_URL and its "
                "server. %s: %s",
                type(error).__name__,
                error,
            )

    # --- What the threads do -----------------------------------------------------------------------------------------

    def _hint_on(self) -> None:
        while True:
            with self._hinted:
                self._hinted.wait_for(lambda: self._hints or self.stopping.is_set())
                if not self._hints:
                    return
            self.stopping.wait(_GATHER_SECONDS)
            with self._hinted:
                hints = [self._hints.popleft() for _ in range(min(len(self._hints), _HANDFUL))]
            # Twice, because the first may only find that old connections are dead.
            if not self._handed_over(*hints) and not self._handed_over(*hints):
                self._hints.clear()  # each would wait for the same server; the sweep has them

    def _handed_over(self, *copy_ids: int) -> bool:
        try:
            self.dispatch(*copy_ids)
        except Exception as error:  # whatever the queue's driver raises
            self._complain(error)
            return False
        return True

    def _finish_hints(self) -> None:
        with self._hinted:
            self._hinted.notify()
        if self._hinting is not None:
            self._hinting.join(1)

    def _consume(self) -> None:
        while not self.stopping.is_set():
            try:
                self._connected()
                self._consumer = HintConsumer(self._huey, self._threads, self._complain)
                self._consumer.run()
                return
            except Exception as error:  # whatever the queue's driver raises
                self._complain(error)
                self.stopping.wait(_OUTAGE_SECONDS)

    def _sweep_on(self) -> None:
        soon = min(_SWEEP_SOON, self._leases.lease)
        woken = False
        while not self.stopping.is_set():
            wait = soon
            try:
                if not woken:
                    self._leases.wake()
                    woken = True
                self.sweep()
                self._upkeep()
                wait = soon if self._leases.due_within(_SWEEP_IDLE) else _SWEEP_IDLE
            except CatalogueUnavailable as error:
                log.warning("The sweep waits. %s", error)
            except Exception:
                log.exception("The sweep failed; it goes on in %.0f s.", wait)
            self.stopping.wait(wait)

    def _start_when_locked(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not self.stopping.is_set():
            try:
                # Never blocking: in a gevent worker a blocking flock stops the whole process.
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.start()
                return
            except BlockingIOError:
                self.stopping.wait(1)
        os.close(handle)
