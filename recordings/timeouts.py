"""Limits on waiting: one deadline for everything that a request waits for, and a time limit on plugins' code."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

Answer = TypeVar("Answer")

# Vonage gives up on an event after 10 s: by then it has our 503, and sends the event again.
# https://api.support.vonage.com/hc/en-us/articles/17498678806044
REQUEST_SECONDS = 8.0


class Deadline:
    """The moment after which nothing is waited for any more: `seconds` after `since`, in `ticks`, or after now.

    Every function that waits gets it as an argument.
    """

    def __init__(
        self,
        seconds: float = REQUEST_SECONDS,
        *,
        since: float | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ticks = ticks
        self._end = (ticks() if since is None else since) + seconds

    def left(self) -> float:
        """The seconds that are left; 0.0 once the deadline has passed."""
        return max(0.0, self._end - self._ticks())


_READS_END: contextvars.ContextVar[Deadline | None] = contextvars.ContextVar("reads_end", default=None)


@contextmanager
def reading_until(deadline: Deadline) -> Iterator[None]:
    """Within the block each view of the database that has no deadline of its own ends at this one."""
    token = _READS_END.set(deadline)
    try:
        yield
    finally:
        _READS_END.reset(token)


def deadline_of_reads() -> Deadline | None:
    """The deadline of the nearest `reading_until` around the caller; None: there is none."""
    return _READS_END.get()


class NoAnswer(Exception):
    """The function was not called, or did not return in time; the message says which."""


class TimeLimit:
    """Calls functions that may hang, each in a thread of its own: no caller waits longer than `seconds`.

    At most `most` calls run at the same time; those that the caller gave up on count until they return. After two calls
    in a row that took too long none is made for `rest` seconds: each caller would wait for the same thing in vain.
    """

    def __init__(
        self,
        seconds: float = 3.0,
        most: int = 16,
        *,
        rest: float = 0.0,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self._most = most
        self._rest = rest
        self._ticks = ticks
        self._too_long = 0  # calls in a row
        self._resting_until = 0.0
        self._room = threading.BoundedSemaphore(most)

    def call(self, function: Callable[[], Answer], *, name: str = "limited-call") -> Answer:
        """What the function returns or raises, run in the caller's context. Raises `NoAnswer` when it takes too long.

        `name` is the thread's. A call that is given up on runs to its end, and nobody looks at its result.
        """
        if self._ticks() < self._resting_until:
            raise NoAnswer(f"it is not called for {self._rest:g} s: it took too long twice")
        if not self._room.acquire(blocking=False):
            raise NoAnswer(f"it was not called: {self._most} earlier calls still run")
        answer: Future[Answer] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                answer.set_result(context.run(function))
            except BaseException as error:
                answer.set_exception(error)
            finally:
                self._room.release()

        try:
            # A daemon: the end of the process does not wait for it, as it would for an executor's thread.
            threading.Thread(target=run, name=name, daemon=True).start()
        except RuntimeError:  # the system has no thread to give
            self._room.release()
            raise
        try:
            answer.exception(self.seconds)
        except TimeoutError:
            if not answer.done():  # else it returned at the last moment
                self._too_long += 1
                if self._too_long >= 2:
                    self._resting_until = self._ticks() + self._rest
                raise NoAnswer(f"it took longer than {self.seconds:g} s") from None
        self._too_long = 0
        return answer.result()
