"""Counts the deliveries that are exactly the same, so that the inbox keeps a few rows of them and not hundreds.

A stranger can capture a token and send it again for as long as it is valid. The counts are in the memory of this
process only. A delivery that gets no row is still compared with the catalogue, so nothing that it announces is lost.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from recordings.model import Delivery, Event

_MOST_ROWS = 3  # of one delivery, in each process: enough to see that it came again
_REMEMBERED = 5_000  # deliveries


class Repeats:
    """Counts the deliveries that were committed, by token and content. Safe for threads."""

    def __init__(self, most: int = _MOST_ROWS, remembered: int = _REMEMBERED) -> None:
        self._most = most
        self._remembered = remembered
        self._guard = threading.Lock()
        self._counts: OrderedDict[int, int] = OrderedDict()

    def enough(self, delivery: Delivery, events: Sequence[Event]) -> bool:
        """Whether this signed delivery has enough rows already."""
        return bool(delivery.jti) and self._counts.get(_key(delivery, events), 0) >= self._most

    def count(self, arrivals: Iterable[tuple[Delivery, Sequence[Event]]]) -> None:
        """Count these deliveries, which were committed, each with its events."""
        with self._guard:
            for delivery, events in arrivals:
                if delivery.jti:
                    key = _key(delivery, events)
                    self._counts[key] = self._counts.get(key, 0) + 1
                    self._counts.move_to_end(key)
            while len(self._counts) > self._remembered:
                self._counts.popitem(last=False)


def _key(delivery: Delivery, events: Sequence[Event]) -> int:
    return hash((delivery.jti, delivery.route, delivery.query, delivery.body, *events))
