"""Which deliveries came again and again, word for word: the inbox needs a few rows of these, and not hundreds.

A token can be captured and sent again for as long as it is valid. Only the memory of this process knows the repeats:
what a repeat announces is looked up in the catalogue all the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from recordings.model import Delivery, Event

_HANDFUL = 3  # rows of one delivery, in each process: enough to see that it came again
_REMEMBERED = 5_000  # deliveries


class Repeats:
    """Counts the deliveries that were committed, by token and content. Safe for threads."""

    def __init__(self, most: int = _HANDFUL, remembered: int = _REMEMBERED) -> None:
        self._most = most
        self._remembered = remembered
        self._guard = threading.Lock()
        self._counts: OrderedDict[int, int] = OrderedDict()

    def enough(self, delivery: Delivery, events: Sequence[Event]) -> bool:
        """Whether this signed delivery has as many rows as are worth having."""
        return bool(delivery.jti) and self._counts.get(_key(delivery, events), 0) >= self._most

    def count(self, arrivals: Iterable[tuple[Delivery, Sequence[Event]]]) -> None:
        """These deliveries, with what they say, are committed."""
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
