"""Refused events are kept: in the background, after the reply is decided, and only a few a second.

A wrong secret refuses real events, which Vonage never sends again: from what is kept they can be replayed once the
secret is right. A flood of forged requests must cost little, so only some of them are kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from recordings.background import BackgroundWriter
from recordings.model import Delivery

KEPT_ROUTES = ("recordings", "events", "transcriptions")
MAX_TOKEN = 8300  # characters: the longest token that is verified, and its scheme


class TokenBucket:
    """Allows `rate` events a second for each name, and `burst` at once. Safe for threads."""

    def __init__(self, rate: float, burst: float, ticks: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._ticks = ticks
        self._guard = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # by name: the tokens that are left, and since when

    def take(self, name: str) -> bool:
        """Take a token from the bucket of this name; False when none is left."""
        now = self._ticks()
        with self._guard:
            tokens, then = self._buckets.get(name, (self._burst, now))
            tokens = min(self._burst, tokens + (now - then) * self._rate)
            self._buckets[name] = (tokens - 1 if tokens >= 1 else tokens, now)
            return tokens >= 1


class RefusedDeliveries:
    """Hands refused events to the `writer`, as (delivery, token, problem), as often as the `bucket` allows."""

    def __init__(self, writer: BackgroundWriter[Delivery, str, str], bucket: TokenBucket | None = None) -> None:
        self._writer = writer
        self._bucket = bucket or TokenBucket(rate=10, burst=20)

    def add(self, delivery: Delivery, problem: str) -> bool:
        """Queue a refused delivery; False when it is not kept. Never waits and never raises."""
        if delivery.route not in KEPT_ROUTES or not self._bucket.take(delivery.route):
            return False
        token = "".join(char for char in delivery.authorization[:MAX_TOKEN] if " " <= char <= "~")
        return self._writer.add(delivery, token, problem)

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most until everything is written. Returns whether it is."""
        return self._writer.wait(timeout)

    def close(self) -> None:
        """Write what waits, within a bounded time."""
        self._writer.close()
