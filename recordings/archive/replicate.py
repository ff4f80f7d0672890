"""Makes a copy out of another copy: for a storage that was added later, or after Vonage has deleted the recording.

The bytes come from a copy that the catalogue calls stored. Their size and SHA-256 are compared with the catalogue's
before the new storage makes them visible. Which recordings lack a copy is found in `recordings.catalogue.copies`; the
claim and the outcome are handled in `retrieval`, as for every copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from recordings.model import Copy, Recording, State
from recordings.storage import StorageBackend

from .heartbeat import HeldLease
from .integrity import Stored
from .sources import CopySource, CopyUnreadable
from .transfer import Transfer, configured


@dataclass(frozen=True)
class Replicator:
    """Makes a copy out of another copy.

    `storages` are the configured ones by URL; `reopen` opens a storage that is not configured any more.
    """

    storages: Mapping[str, StorageBackend]
    reopen: Callable[[str], StorageBackend]
    patience: float = 60.0  # for another thread to open such a storage, in seconds
    _former: dict[str, Future[StorageBackend]] = field(default_factory=dict, init=False, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def sources(self, recording: Recording, storage: str) -> list[Copy]:
        """The copies that a copy in this storage can be made of, those in configured storages first."""
        usable = [copy for copy in recording.copies if copy.state is State.STORED and copy.storage != storage]
        return sorted(usable, key=lambda copy: copy.storage not in self.storages)

    def attempt(self, held: HeldLease) -> Stored:
        """Copy from the first copy that can be read. Raises `CopyUnreadable`, or what the store raises."""
        problems = []
        for copy in self.sources(held.claim.recording, held.claim.storage):
            try:
                return self._copy(held, copy)
            except CopyUnreadable as error:
                problems.append(str(error))
        raise CopyUnreadable(" ".join(problems) or "No other storage has a copy.")

    def _copy(self, held: HeldLease, copy: Copy) -> Stored:
        source = CopySource(self._backend(copy.storage), copy, held.lost)
        target = configured(self.storages, held.claim.storage)
        return Transfer(held, source, target).store(held.claim.key or copy.key or "")

    def _backend(self, storage: str) -> StorageBackend:
        if storage in self.storages:
            return self.storages[storage]
        with self._guard:
            known = self._former.get(storage)
            opening = known or self._former.setdefault(storage, Future())
        if known is None:
            self._open(storage, opening)
        try:
            return opening.result(self.patience)
        except TimeoutError:
            raise CopyUnreadable(f"{storage}, which has a copy, cannot be opened: it does not answer.") from None
        except Exception as error:  # a plugin or credentials that were removed
            raise CopyUnreadable(f"{storage}, which has a copy, cannot be opened: {error}") from error

    def _open(self, storage: str, opening: Future[StorageBackend]) -> None:
        """Open the storage, without the guard: a storage that hangs holds up nobody who needs another one."""
        try:
            opening.set_result(self.reopen(storage))
        except BaseException as error:
            with self._guard:
                del self._former[storage]  # the next copy tries it again
            opening.set_exception(error)
            if not isinstance(error, Exception):
                raise

    def close(self) -> None:
        """Give back the connections to storages that are not configured any more. One that still opens is left."""
        with self._guard:
            opened = [opening for opening in self._former.values() if opening.done()]
            self._former.clear()
        for opening in opened:
            opening.result().close()
