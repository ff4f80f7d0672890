"""How many threads of this process may work for one storage at the same time."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class StorageLimits:
    """Counts the threads that work for each storage. Safe for threads.

    With several storages and more than one thread, a storage gets three quarters of the threads at the most, so that a
    store that hangs leaves threads for the others. One storage, or one thread, gets no such bound.
    """

    def __init__(self, storages: Collection[str] = (), threads: int = 1) -> None:
        limit = max(1, threads * 3 // 4) if len(storages) > 1 else threads
        self._free = dict.fromkeys(storages, limit)
        self._guard = threading.Lock()

    def full(self) -> frozenset[str]:
        """The storages that have no room for another thread now."""
        with self._guard:
            return frozenset(storage for storage, free in self._free.items() if not free)

    @contextmanager
    def enter(self, storage: str) -> Iterator[bool]:
        """Whether this thread may work for the storage in this block; never waits. An unknown storage has no limit."""
        if storage not in self._free:
            yield True
        elif self._take_slot(storage):
            try:
                yield True
            finally:
                with self._guard:
                    self._free[storage] += 1
        else:
            yield False

    def _take_slot(self, storage: str) -> bool:
        with self._guard:
            free = self._free[storage] > 0
            self._free[storage] -= free
            return free
