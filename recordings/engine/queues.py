"""The queue: Huey on SQLite, Redis or Postgres, and its consumer inside a process that somebody else owns.

Here lives all that knows Huey and its drivers. A message is a hint, "look at copy X now": what is true stands in the
catalogue, what a hint leads to in `jobs`. Every mode polls, so that connections stay few: a waiting read would hold one
for each worker thread, and Heroku's small plans give 20 in all.
https://devcenter.heroku.com/articles/heroku-postgres-plans
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from huey import Huey, RedisHuey
from huey.api import PostgresHuey, Task
from huey.consumer import Consumer, Worker
from huey.registry import Message
from huey.serializer import Serializer
from huey.storage import SqliteStorage
from redis import BlockingConnectionPool
from sqlalchemy import make_url

log = logging.getLogger(__name__)

_NAME = "tapekeeper"
# An idle queue is looked at again after the first, then ever more rarely; Huey's own default goes up to 10 s. One
# thread of a process does that; the others look for themselves only so often, should that one be held up.
_POLLS, _POLL_OF_OTHERS = (0.1, 0.5), 10.0
_TABLES_LOCK = 0x7461_7071  # "tapq": any number that nobody else on this Postgres locks

# Connections to Redis that one process may hold. Each is used for a moment, so they need not be as many as threads.
_REDIS_CONNECTIONS = 4
_REDIS_TIMEOUTS = {"socket_connect_timeout": 2, "socket_timeout": 3}
_POSTGRES_OPTIONS = {"connect_timeout": 3, "tcp_user_timeout": 5000, "application_name": "tapekeeper-queue"}


class JsonSerializer(Serializer):  # type: ignore[misc]  # huey has no types
    """Messages as JSON. Huey's own pickles run what they hold: whoever can write to the queue could run code here."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps(list(data)).encode()

    def _deserialize(self, data: bytes) -> Message:
        return Message(*json.loads(data))


def make_queue(url: str) -> Huey:
    """The queue at sqlite:///path, redis://…, rediss://… or postgresql+psycopg://…; raises as its driver does.

    What the URL itself asks for, such as `?ssl_cert_reqs=none` for Heroku's own certificates, stands.
    """
    options: dict[str, Any] = {"results": False, "serializer": JsonSerializer()}
    if url.startswith("redis"):
        pool = BlockingConnectionPool.from_url(url, max_connections=_REDIS_CONNECTIONS, timeout=5, **_REDIS_TIMEOUTS)
        return RedisHuey(_NAME, connection_pool=pool, blocking=False, **options)
    if url.startswith("sqlite"):
        path = Path(make_url(url).database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        # The queue holds hints only, so it need not survive a power cut: no fsync.
        return Huey(_NAME, storage_class=_SqliteHints, filename=str(path), fsync=False, **options)
    dsn = url.replace("+psycopg", "", 1)
    huey = PostgresHuey(_NAME, dsn=dsn, blocking=False, create_tables=False, **_POSTGRES_OPTIONS, **options)
    _create_tables(huey.storage)
    return huey


def _create_tables(storage: Any) -> None:
    """Once, whoever comes first: CREATE TABLE IF NOT EXISTS fails where two processes start at the same moment."""
    with storage.db(commit=True) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_TABLES_LOCK,))
        cursor.execute("SELECT to_regclass(%s)", (storage.table_counter,))
        if cursor.fetchone()[0] is None:
            for statement in storage.ddl:
                cursor.execute(statement)


# In the order of the table's index.
_TAKE = """
DELETE FROM task WHERE id = (SELECT id FROM task WHERE queue = ? ORDER BY priority DESC, id LIMIT 1) RETURNING data
"""


class _SqliteHints(SqliteStorage):  # type: ignore[misc]  # huey has no types
    """Huey's SQLite storage, of which a hint takes half of the statements: each costs a turn of the interpreter's lock.

    The table is Huey's own, whose version is pinned.
    """

    def enqueue_all(self, messages: Sequence[bytes]) -> None:
        """Put these in, all or none."""
        with self.db(commit=True) as cursor:
            cursor.executemany(
                "INSERT INTO task (queue, data, priority) VALUES (?, ?, 0)", [(self.name, data) for data in messages]
            )

    def dequeue(self) -> bytes | None:
        """Take the oldest out; None when there is none."""
        with self.db() as cursor:
            cursor.execute(_TAKE, (self.name,))
            taken = cursor.fetchall()
        return taken[0][0] if taken else None


def hand_over(huey: Huey, tasks: Sequence[Task]) -> None:
    """Put these into the queue; raises as its driver does, and then some may be in it.

    In one transaction where that is known to pay: on SQLite each one has a file to lock and to write to.
    """
    if isinstance(huey.storage, _SqliteHints):
        huey.storage.enqueue_all([huey.serialize_task(task) for task in tasks])
    else:
        for task in tasks:
            huey.enqueue(task)


class HintConsumer(Consumer):  # type: ignore[misc]  # huey has no types
    """Huey's consumer inside somebody else's process: gunicorn, or our own command, owns the signals.

    `trouble` is told why the queue cannot be read, each time that it cannot.
    """

    def __init__(self, huey: Huey, threads: int, trouble: Callable[[Exception], None]) -> None:
        self._trouble = trouble
        self._bell = _Bell()
        self.started = threading.Event()
        first, last = _POLLS
        super().__init__(
            huey, workers=threads, periodic=False, initial_delay=first, max_delay=last, scheduler_interval=60
        )

    def start(self) -> None:
        """Start the threads."""
        super().start()
        self.started.set()

    def _create_worker(self) -> _HintWorker:
        worker = _HintWorker(self.huey, self.stop_flag, self.default_delay, self.max_delay, self.backoff)
        worker.trouble = self._trouble
        worker.bell = self._bell
        return worker

    @property
    def asleep(self) -> int:
        """How many threads found nothing to do."""
        return self._bell.asleep

    def rouse(self) -> None:
        """Something is in the queue: one thread that sleeps looks at once."""
        self._bell.ring()

    def stop(self, graceful: bool = False) -> None:
        """End the threads, when they have finished if `graceful`; those that sleep hear it at once."""
        self.stop_flag.set()
        self._bell.ring(everybody=True)
        super().stop(graceful)

    def _set_signal_handlers(self) -> None:
        """Only a main thread may set them, and here it has its own."""


class _Bell:
    """Wakes sleeping threads. `rings` counts: who noted it before it looked misses no ring that came meanwhile.

    Of those that sleep one keeps watch, and looks again soon.
    """

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self._watched = False
        self.rings = self.asleep = 0

    def ring(self, *, everybody: bool = False) -> None:
        with self._rung:
            self.rings += 1
            self._rung.notify_all() if everybody else self._rung.notify()

    def wait(self, seen: int, seconds: float) -> None:
        """Until there are other rings than `seen`, or for so long; longer where another thread keeps watch."""
        with self._rung:
            watches, self._watched = not self._watched, True
            self.asleep += 1
            self._rung.wait_for(lambda: self.rings != seen, seconds if watches else max(seconds, _POLL_OF_OTHERS))
            self.asleep -= 1
            if watches:
                self._watched = False


class _HintWorker(Worker):  # type: ignore[misc]  # huey has no types
    """Huey's worker, which would log a traceback a second from each thread while its server is away.

    Whoever finds a message wakes one that sleeps: after a pause the first poll that finds work brings everybody in.
    """

    trouble: Callable[[Exception], None]
    bell: _Bell
    delay: float  # seconds until the next look, while the queue is empty

    def loop(self, now: Any = None) -> None:
        """Take one message, if there is one, and do what it says."""
        seen = self.bell.rings
        if self.stop_flag.is_set():  # set before the last ring, which may have been the one that was just noted
            return
        try:
            data = self.huey.storage.dequeue()
        except Exception as error:  # whatever the queue's driver raises
            self.trouble(error)
            data = None
        if data is None:
            self.bell.wait(seen, self.delay)
            self.delay = min(self.delay * self.backoff, self.max_delay)
            return
        self.delay = self.default_delay
        self.bell.ring()
        try:
            task = self.huey.deserialize_task(data)
        except Exception as error:  # whatever a stranger's bytes lead to
            log.warning("A message in the queue is not ours and was dropped: %s", error)
            return
        try:
            # Not by `huey.execute`: for every task it asks its storage whether it was revoked, and clears that up
            # afterwards. Nobody revokes a hint, and that was a tenth of a worker's time.
            task.execute()
        except Exception:  # what no code foresaw; the lease runs out, and the sweep comes back to the copy
            log.exception("A job broke off; the sweep comes back to it.")
