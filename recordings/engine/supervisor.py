"""Every thread of ours runs under the supervisor: a thread that breaks off is logged and started again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_REMEMBERED_SECONDS = 60.0


class Supervisor:
    """Runs functions in daemon threads. A function that returns is finished; one that raises is started again.

    `SystemExit` counts as an error, too: a plugin may raise it. `pause` is the time in seconds before a new start.
    """

    def __init__(self, *, pause: float = 1.0, ticks: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._ticks = ticks
        self._guard = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._broke_off: dict[str, tuple[float, str]] = {}
        self._stopping = threading.Event()

    def start(self, name: str, run: Callable[[], None]) -> threading.Thread:
        """Run this in a thread of this name."""
        thread = threading.Thread(target=self._keep_running, args=(name, run), name=name, daemon=True)
        thread.start()
        with self._guard:  # only now: a thread that the system could not give cannot be waited for
            self._threads = [*(known for known in self._threads if known.is_alive()), thread]
        return thread

    def problems(self) -> dict[str, str]:
        """The threads that broke off within the last minute, with the last error of each."""
        now = self._ticks()
        with self._guard:
            return {name: error for name, (at, error) in self._broke_off.items() if now - at < _REMEMBERED_SECONDS}

    def stop(self, timeout: float = 0.0) -> None:
        """Start nothing again, and wait `timeout` seconds in all for the threads to return."""
        self._stopping.set()
        end = self._ticks() + timeout
        with self._guard:
            threads = list(self._threads)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - self._ticks()))

    def _keep_running(self, name: str, run: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                run()
                return
            except BaseException as error:  # also SystemExit: it must end neither this thread nor the process
                log.exception("The thread %s broke off; it is started again in %g s.", name, self._pause)
                with self._guard:
                    self._broke_off[name] = (self._ticks(), f"{type(error).__name__}: {error}")
            self._stopping.wait(self._pause)
