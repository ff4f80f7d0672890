"""Refused deliveries, handed on to be kept: after the decision, behind the reply's back, and never many a second.

A wrong secret turns real events away, and they never come again: kept, they can be replayed. A flood of forgeries must
cost no more than the refusals themselves, so only some of it is kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from recordings.model import Delivery

from .notes import Notebook

log = logging.getLogger(__name__)

KEPT_ROUTES = ("recordings", "events", "transcriptions")
MAX_TOKEN = 8300

Keep = Callable[[Delivery, str, str], None]


class Pace:
    """Lets `rate` a second pass for each name, after a first `burst`. Safe for threads."""

    def __init__(self, rate: float, burst: float, ticks: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._ticks = ticks
        self._guard = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def allows(self, name: str) -> bool:
        """Whether one more may pass now; it is counted."""
        now = self._ticks()
        with self._guard:
            left, then = self._left.get(name, (self._burst, now))
            left = min(self._burst, left + (now - then) * self._rate)
            self._left[name] = (left - 1 if left >= 1 else left, now)
            return left >= 1


class Refusals:
    """Hands refused deliveries to `keep(delivery, token, problem)` in a thread of its own; None keeps nothing."""

    def __init__(self, keep: Keep | None, pace: Pace | None = None) -> None:
        self._keep = keep
        self._pace = pace or Pace(rate=10, burst=20)
        self._notes = Notebook(self._write, limit=20, lost="a refused delivery is not kept")

    def add(self, delivery: Delivery, token: str, problem: str) -> bool:
        """Queue it; False when it is not kept. Never waits, never raises."""
        if self._keep is None or delivery.route not in KEPT_ROUTES or not self._pace.allows(delivery.route):
            return False
        return self._notes.add(delivery, "".join(char for char in token[:MAX_TOKEN] if " " <= char <= "~"), problem)

    def wait(self, timeout: float | None = None) -> bool:
        """Until none waits; for tests."""
        return self._notes.wait(timeout)

    def close(self) -> None:
        """Write what waits, then stop."""
        self._notes.close()

    def _write(self, delivery: Delivery, token: str, problem: str) -> None:
        if self._keep is not None:
            self._keep(delivery, token, problem)
