"""How many threads one storage may take: never all of them, so that a store that hangs holds up no other."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class StorageLimits:
    """A lane for each storage: with several, each gets three quarters of the threads at the most. Safe for threads."""

    def __init__(self, storages: Collection[str] = (), threads: int = 1) -> None:
        width = max(1, threads * 3 // 4) if len(storages) > 1 else threads
        self._lanes = {storage: threading.BoundedSemaphore(width) for storage in storages}

    @contextmanager
    def enter(self, storage: str) -> Iterator[bool]:
        """Whether there is room in the storage's lane; never waits. A storage without a lane has room."""
        lane = self._lanes.get(storage)
        if lane is None:
            yield True
        elif lane.acquire(blocking=False):
            try:
                yield True
            finally:
                lane.release()
        else:
            yield False
