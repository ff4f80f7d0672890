"""Noting calls behind the caller's back: one background thread, a short queue, and never a delay for the NCCO.

What is noted enriches a recording later (numbers, leg, flow); losing a note loses no recording, so a full queue or a
broken database costs a line in the log and nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from recordings.errors import TapekeeperError

log = logging.getLogger(__name__)


class Notebook:
    """Notes to be written down by `write`, at most `limit` of them waiting; `lost` is what the log says of one that is.

    The thread starts with the first note, in the process that made it: nothing runs before a server has forked.
    """

    def __init__(
        self, write: Callable[..., None], limit: int = 200, lost: str = "a call was answered but is not noted"
    ) -> None:
        self._write = write
        self._limit = limit
        self._lost = lost
        self._waiting = 0
        self._changed = threading.Condition()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="note-call")

    def add(self, *note: Any) -> bool:
        """Queue a note, the words that `write` takes; False when it was dropped. Never waits, never raises."""
        with self._changed:
            if self._waiting >= self._limit:
                log.warning("%s: %d wait already", self._lost, self._limit)
                return False
            self._waiting += 1
        try:
            self._thread.submit(self._note, *note)
        except RuntimeError as error:  # shut down, or no thread to be had
            log.warning("%s: %s", self._lost, error)
            self._done()
            return False
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Until no note waits, `timeout` seconds at most; True when that was reached."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting == 0, timeout)

    def close(self) -> None:
        """Write what waits, then stop the thread. Notes that come later are dropped."""
        self._thread.shutdown(wait=True)

    def _note(self, *note: Any) -> None:
        try:
            self._write(*note)
        except TapekeeperError as error:
            log.warning("%s: %s", self._lost, error)
        except Exception:  # nobody looks at this thread's result: the log is the only witness
            log.exception(self._lost)
        finally:
            self._done()

    def _done(self) -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()
