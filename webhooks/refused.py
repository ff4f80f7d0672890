"""Refused events are kept: in the background, after the reply is decided, and only a few a second.

A wrong secret refuses real events, which Vonage never sends again: from what is kept they can be replayed once the
secret is right. A flood of forged requests must cost little, so only some of them are kept. Each worth has a pace of
its own, so that rubbish takes nothing away from what looks like Vonage's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from recordings.background import BackgroundWriter
from recordings.catalogue.quotas import Worth
from recordings.model import Delivery

KEPT_ROUTES = ("recordings", "events", "transcriptions")
MAX_TOKEN = 8300  # characters: the longest token that is verified, and its scheme
MOST_UNLIKELY = (
    5  # UNLIKELY deliveries that may wait to be written; the rest of the queue is for those that look like Vonage's
)


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


def paces(ticks: Callable[[], float] = time.monotonic) -> dict[Worth, TokenBucket]:
    """How many refused deliveries a second are kept: few UNLIKELY ones, and else more than a busy site receives."""
    return {
        Worth.UNLIKELY: TokenBucket(10, 20, ticks),
        Worth.LIKELY: TokenBucket(50, 100, ticks),
        Worth.RECORDING: TokenBucket(50, 100, ticks),
    }


class RefusedDeliveries:
    """Hands refused events to the `writer`, as (delivery, token, problem, worth), as often as the pace allows."""

    def __init__(
        self,
        writer: BackgroundWriter[Delivery, str, str, Worth],
        buckets: Mapping[Worth, TokenBucket] | None = None,
    ) -> None:
        self._writer = writer
        self._buckets = buckets or paces()

    def add(self, delivery: Delivery, problem: str, worth: Worth = Worth.UNLIKELY) -> bool:
        """Queue a refused delivery; False when it is not kept. Never waits and never raises."""
        if delivery.route not in KEPT_ROUTES or not self._buckets[worth].take(delivery.route):
            return False
        if worth is Worth.UNLIKELY and self._writer.waiting >= MOST_UNLIKELY:
            return False
        return self._writer.add(delivery, _token(delivery.authorization), problem, worth)

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most until everything is written. Returns whether it is."""
        return self._writer.wait(timeout)

    def close(self) -> None:
        """Write what waits, within a bounded time."""
        self._writer.close()


def _token(authorization: str) -> str:
    """The header that a replay judges again. Any other one, such as `Basic`, may hold a password: it is not kept."""
    if authorization[:7].lower() != "bearer ":
        return ""
    return "".join(char for char in authorization[:MAX_TOKEN] if " " <= char <= "~")
