"""The job engine: hands ids of copies to worker threads, and sweeps up what no message speaks for.

Huey carries the ids. By itself it loses the jobs of a worker that dies, so it only ever says "look at copy X now": what
is to be done, and by whom, stands in the catalogue. Losing the whole queue loses nothing.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huey import Huey, RedisHuey, SqliteHuey
from huey.api import PostgresHuey
from huey.consumer import Consumer
from huey.registry import Message
from huey.serializer import Serializer
from sqlalchemy import make_url

from .causes import RetryPolicy
from .heartbeat import Heartbeat
from .leases import Leases
from .model import CatalogueUnavailable

log = logging.getLogger(__name__)

_NAME = "tapekeeper"
_TASK = "archive"
_POLL_SECONDS = 1.0  # Huey's own default waits up to 10 s between two looks at an idle SQLite queue
_OUTAGE_SECONDS = 5.0  # after a failed dispatch, the sweep alone looks after new copies for so long
_SWEEP_SOON, _SWEEP_IDLE = 5.0, 15.0


class JsonSerializer(Serializer):  # type: ignore[misc]  # huey has no types
    """Messages as JSON. Huey's own pickles run what they hold: whoever can write to the queue could run code here."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps(list(data)).encode()

    def _deserialize(self, data: bytes) -> Message:
        return Message(*json.loads(data))


def make_queue(url: str) -> Huey:
    """The queue at sqlite:///path, redis://… or postgresql+psycopg://…. May connect, and raise as its driver does."""
    options = {"results": False, "serializer": JsonSerializer()}
    if url.startswith("redis"):
        # The reading socket waits a second for a message, so its time-out must be longer than that.
        return RedisHuey(_NAME, url=url, socket_connect_timeout=0.5, socket_timeout=5, **options)
    if url.startswith("sqlite"):
        path = Path(make_url(url).database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        # The queue holds hints only, so it need not survive a power cut: no fsync.
        return SqliteHuey(_NAME, filename=str(path), fsync=False, **options)
    return PostgresHuey(_NAME, dsn=url.replace("+psycopg", "", 1), **options)


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
    ) -> None:
        self._make_queue = queue
        self._archive = archive
        self._leases = leases
        self._heartbeat = heartbeat
        self._policy = policy
        self._threads = threads
        self._ticks = ticks
        self._guard = threading.Lock()
        self._task: Any = None
        self._huey: Huey | None = None
        self._quiet_until = 0.0
        self._consumer: _Consumer | None = None
        self._running: list[threading.Thread] = []
        self.stopping = threading.Event()

    def dispatch(self, copy_id: int) -> None:
        """Say "look at this copy now". Raises what the queue's driver raises; the copy itself is safe either way.

        While the queue is known to be away this does nothing, so that a webhook does not wait for it again.
        """
        if self._ticks() < self._quiet_until:
            return
        try:
            self._connected()(copy_id)
        except Exception:
            self._quiet_until = self._ticks() + _OUTAGE_SECONDS
            raise

    def start(self) -> None:
        """Start the worker threads and the sweep, and return. Waits for a queue that is away, in the background."""
        self._thread("tapekeeper-sweep", self._sweep_on)
        self._thread("tapekeeper-consumer", self._consume)

    def start_embedded(self, lock: Path) -> None:
        """Start in one process of this machine only: whichever of the web workers gets the lock, now or later."""
        self._thread("tapekeeper-embedded", lambda: self._start_when_locked(lock))

    def stop(self, timeout: float = 20) -> None:
        """Let running copies finish for `timeout` seconds, then give the rest back to others. May be repeated."""
        self.stopping.set()
        if self._consumer is not None and self._consumer.started.wait(1):
            self._consumer.shutdown_timeout = timeout
            self._consumer.stop(graceful=True)
        given_back = self._heartbeat.release_all()
        if given_back:
            log.warning("Stopped with %d copies unfinished; another worker may take them at once.", given_back)

    def sweep(self) -> int:
        """Dispatch every copy whose time has come. Returns how many."""
        self._leases.expire(self._policy.backoff)
        due = self._leases.due()
        for copy_id in due:
            self.dispatch(copy_id)
        return len(due)

    def _connected(self) -> Any:
        with self._guard:
            if self._task is None:
                self._huey = self._make_queue()
                # The name is part of each message: web and worker must agree on it, wherever this is called from.
                self._task = self._huey.task(name=_TASK, retries=0)(self._look_at)
            return self._task

    def _look_at(self, copy_id: int) -> None:
        try:
            self._archive(copy_id)
        except CatalogueUnavailable as error:
            log.warning("Copy %d waits for the next sweep. %s", copy_id, error)

    def _thread(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._running.append(thread)
        thread.start()

    def _consume(self) -> None:
        while not self.stopping.is_set():
            try:
                self._connected()
                assert self._huey is not None  # noqa: S101 - _connected made it
                self._consumer = _Consumer(
                    self._huey,
                    workers=self._threads,
                    periodic=False,
                    max_delay=_POLL_SECONDS,
                    scheduler_interval=60,
                )
                self._consumer.run()
                return
            except Exception:
                log.exception("The queue cannot be used; trying again in %.0f s. Nothing is lost.", _OUTAGE_SECONDS)
                self.stopping.wait(_OUTAGE_SECONDS)

    def _sweep_on(self) -> None:
        woken = False
        while not self.stopping.is_set():
            wait = _SWEEP_SOON
            try:
                if not woken:
                    self._leases.wake()
                    woken = True
                self.sweep()
                wait = _SWEEP_SOON if self._leases.due_within(_SWEEP_IDLE) else _SWEEP_IDLE
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


class _Consumer(Consumer):  # type: ignore[misc]  # huey has no types
    """Huey's consumer inside somebody else's process: gunicorn, or our own command, owns the signals."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.started = threading.Event()

    def start(self) -> None:
        super().start()
        self.started.set()

    def _set_signal_handlers(self) -> None:
        """Only a main thread may set them, and here it has its own."""
