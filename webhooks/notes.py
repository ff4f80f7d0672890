"""Noting calls behind the caller's back: one background thread, a short queue, and never a delay for the NCCO.

What is noted enriches a recording later (numbers, leg, flow); losing a note loses no recording, so a full queue or a
broken database costs a line in the log and nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from recordings.model import Call, TapekeeperError

log = logging.getLogger(__name__)


class Notebook:
    """Calls to be written down by `write(call, application_id)`, at most `limit` of them waiting.

    The thread starts with the first note, in the process that made it: nothing runs before a server has forked.
    """

    def __init__(self, write: Callable[[Call, str], None], limit: int = 200) -> None:
        self._write = write
        self._limit = limit
        self._waiting = 0
        self._changed = threading.Condition()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="note-call")

    def add(self, call: Call, application_id: str) -> bool:
        """Queue a note; False when it was dropped. Never waits, never raises."""
        with self._changed:
            if self._waiting >= self._limit:
                log.warning("a call was answered but is not noted: %d notes wait already", self._limit)
                return False
            self._waiting += 1
        try:
            self._thread.submit(self._note, call, application_id)
        except RuntimeError as error:  # shut down, or no thread to be had
            log.warning("a call was answered but is not noted: %s", error)
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

    def _note(self, call: Call, application_id: str) -> None:
        try:
            self._write(call, application_id)
        except TapekeeperError as error:
            log.warning("a call was answered but is not noted: %s", error)
        except Exception:  # nobody looks at this thread's result: the log is the only witness
            log.exception("a call was answered but is not noted")
        finally:
            self._done()

    def _done(self) -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()
