"""Asking strangers' code while a caller waits: there is an answer in time, or none.

Whatever the code waits for (a CRM that hangs, a lock), it can wait in a thread of its own; the call cannot.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")


class NoAnswer(Exception):
    """The question was not answered in time, or not asked; the message says which."""


class Patience:
    """Waits for so many `seconds`, and holds at most so many questions that found no answer yet."""

    def __init__(self, seconds: float = 3.0, most: int = 16) -> None:
        self.seconds = seconds
        self._most = most
        self._room = threading.BoundedSemaphore(most)

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """What it returns or raises, in the caller's context; else raises `NoAnswer`, and it runs on, unheard."""
        if not self._room.acquire(blocking=False):
            raise NoAnswer(f"it was not asked: {self._most} earlier questions still run")
        answer: Future[Answer] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                answer.set_result(context.run(question))
            except BaseException as error:
                answer.set_exception(error)
            finally:
                self._room.release()

        try:
            # A daemon: an executor's threads would be waited for at the end of the process.
            threading.Thread(target=run, name="answer-call", daemon=True).start()
        except RuntimeError:  # no thread to be had
            self._room.release()
            raise
        try:
            return answer.result(self.seconds)
        except TimeoutError:
            if answer.done():  # at the last moment, or it is the question itself that raised this
                return answer.result()
            raise NoAnswer(f"it took longer than {self.seconds:g} s") from None
