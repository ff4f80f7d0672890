"""Writing in the background: one thread and a short queue, for values that may be lost.

No request waits for such a value. When the queue is full or the database is broken, the value is dropped, and the log
says so. No recording is lost by that.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, ParamSpec

from recordings.errors import TapekeeperError

log = logging.getLogger(__name__)

Values = ParamSpec("Values")

CLOSE_SECONDS = 2.0  # gunicorn kills the process a few seconds after the engine has stopped


class BackgroundWriter(Generic[Values]):
    """Calls `write` in a background thread, in the order in which the values came; at most `limit` calls wait.

    `start(name, run)` starts a thread that is started again when it breaks off: `Supervisor.start`. The thread starts
    with the first values, so nothing runs before the server has forked. `loss` is the log's sentence for values that
    are not written.
    """

    def __init__(
        self,
        name: str,
        write: Callable[Values, object],
        start: Callable[[str, Callable[[], None]], threading.Thread],
        *,
        loss: str,
        limit: int = 200,
    ) -> None:
        self._name = name
        self._write = write
        self._start = start
        self._loss = loss
        self._limit = limit
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], object]] = deque()  # the first is being written
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, *args: Values.args, **kwargs: Values.kwargs) -> bool:
        """Queue one call of `write`. Returns False when it was dropped. Never waits and never raises."""
        with self._changed:
            problem = self._unfit()
            if not problem:
                self._waiting.append(partial(self._write, *args, **kwargs))
                self._changed.notify_all()
                return True
        log.warning("%s: %s", self._loss, problem)
        return False

    @property
    def waiting(self) -> int:
        """How many calls are not written yet."""
        return len(self._waiting)

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most until everything is written. Returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Write what waits, for `timeout` seconds at most, and end the thread. What comes later is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        if self._waiting:
            log.warning("%s: %d still waited when the process ended", self._loss, len(self._waiting))

    def _unfit(self) -> str:
        """Why nothing more can be queued, or an empty text. Starts the thread at the first call."""
        if self._closed:
            return "the process is ending"
        if len(self._waiting) >= self._limit:
            return f"{self._limit} wait already"
        try:
            self._thread = self._thread or self._start(self._name, self._run)
        except RuntimeError as error:  # the system has no thread to give
            return str(error)
        return ""

    def _run(self) -> None:
        """Write until the writer is closed and nothing waits."""
        while (write := self._next()) is not None:
            try:
                write()
            except TapekeeperError as error:
                log.warning("%s: %s", self._loss, error)
            except Exception:  # no caller waits for this error
                log.exception(self._loss)
            finally:
                with self._changed:
                    self._waiting.popleft()
                    self._changed.notify_all()

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting[0] if self._waiting else None
