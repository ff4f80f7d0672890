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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huey import Huey, RedisHuey, SqliteHuey
from huey.api import PostgresHuey
from huey.consumer import Consumer, Worker
from huey.registry import Message
from huey.serializer import Serializer
from redis import BlockingConnectionPool
from sqlalchemy import make_url

log = logging.getLogger(__name__)

_NAME = "tapekeeper"
_POLL_SECONDS = 1.0  # Huey's own default waits up to 10 s between two looks at an idle queue
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
        return SqliteHuey(_NAME, filename=str(path), fsync=False, **options)
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


class HintConsumer(Consumer):  # type: ignore[misc]  # huey has no types
    """Huey's consumer inside somebody else's process: gunicorn, or our own command, owns the signals.

    `trouble` is told why the queue cannot be read, each time that it cannot.
    """

    def __init__(self, huey: Huey, threads: int, trouble: Callable[[Exception], None]) -> None:
        self._trouble = trouble
        self.started = threading.Event()
        super().__init__(huey, workers=threads, periodic=False, max_delay=_POLL_SECONDS, scheduler_interval=60)

    def start(self) -> None:
        """Start the threads."""
        super().start()
        self.started.set()

    def _create_worker(self) -> _HintWorker:
        worker = _HintWorker(self.huey, self.stop_flag, self.default_delay, self.max_delay, self.backoff)
        worker.trouble = self._trouble
        return worker

    def _set_signal_handlers(self) -> None:
        """Only a main thread may set them, and here it has its own."""


class _HintWorker(Worker):  # type: ignore[misc]  # huey has no types
    """Huey's worker, which would log a traceback a second from each thread while its server is away."""

    trouble: Callable[[Exception], None]

    def loop(self, now: Any = None) -> None:
        """Take one message, if there is one, and do what it says."""
        try:
            data = self.huey.storage.dequeue()
        except Exception as error:  # whatever the queue's driver raises
            self.trouble(error)
            data = None
        if data is None:
            self.sleep()
            return
        self.delay = self.default_delay
        try:
            task = self.huey.deserialize_task(data)
        except Exception as error:  # whatever a stranger's bytes lead to
            log.warning("A message in the queue is not ours and was dropped: %s", error)
            return
        self.huey.execute(task, now)
