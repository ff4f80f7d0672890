"""What is done about a copy that its store has lost or damaged: another one is put in its place, from a good source.

A good source is known before anything is changed: a copy in another storage that reads back right, or else Vonage, as
long as it keeps the recording. A damaged object is moved aside, never overwritten and never just deleted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from recordings.archive import formats, integrity, sidecar
from recordings.archive.replicate import CopySource, Replicator, state_of
from recordings.archive.retrieval import Retrieval
from recordings.catalogue.database import Database
from recordings.catalogue.listing import by_ids
from recordings.catalogue.schedule import Schedule
from recordings.errors import TapekeeperError
from recordings.model import Copy, Recording, State
from recordings.storage import StorageBackend

from .verify import ASIDE, StoredCopy

log = logging.getLogger(__name__)

_PROBLEM = "A check found it missing or damaged."
_BUSY = "Another process is at this copy already."


class Unrepairable(TapekeeperError):
    """Nothing was changed, or not enough; the message says what is left to do."""

    retryable = False


@dataclass(frozen=True)
class Repair:
    """Mends stored copies in the configured storages, by the same steps that made them."""

    retrieval: Retrieval
    replicator: Replicator

    @property
    def _database(self) -> Database:
        return self.retrieval.leases.database

    def mend(self, found: StoredCopy) -> str:
        """Put a good object under this copy's key. Returns what was done; raises `Unrepairable`, or as a store does."""
        backend = self.retrieval.storages.get(found.storage)
        if backend is None:
            raise Unrepairable(f"{found.storage} is not in STORAGE_URL any more: add it back.")
        there = integrity.head(backend, found.key)
        bytes_there = integrity.read_back(backend, found.key) if there else None
        if bytes_there is not None and _as_stored(found, *bytes_there):
            raise Unrepairable("It reads back right, so it is left alone: only the store's own word on it is wrong.")
        with self._database.read() as connection:
            recording = by_ids(connection, [found.recording_id])[found.recording_id]
        donor = self._donor(recording, found)
        if donor is None and not self._at_vonage(recording):
            raise Unrepairable("No other storage has a good copy, and Vonage keeps it no more: nothing was changed.")
        moved = self._move_aside(backend, recording, found, bytes_there) if bytes_there else ""
        if donor is not None:
            return moved + self._copy(found)
        if not Schedule(self._database, clock=self.retrieval.clock).reopen(found.copy_id, _PROBLEM):
            raise Unrepairable(_BUSY)
        return moved + "A worker fetches it again from Vonage."

    # --- Where a good one may come from ------------------------------------------------------------------------------

    def _donor(self, recording: Recording, found: StoredCopy) -> Copy | None:
        """The first copy in another storage that reads back right."""
        for copy in recording.copies:
            backend = self.retrieval.storages.get(copy.storage)
            if copy.state is not State.STORED or copy.storage == found.storage or backend is None:
                continue
            try:
                if integrity.read_back(backend, copy.key or "") == (copy.size, copy.sha256):
                    return copy
            except Exception as error:  # whatever a stranger's backend raises: then it is no help
                log.warning("The copy of %s in %s is no help: %s", recording.recording_uuid, copy.storage, error)
        return None

    def _at_vonage(self, recording: Recording) -> bool:
        return bool(recording.recording_url) and self.retrieval.clock() < self.retrieval.policy.deadline(recording)

    # --- Making room, and filling it ---------------------------------------------------------------------------------

    def _move_aside(
        self, backend: StorageBackend, recording: Recording, found: StoredCopy, bytes_there: tuple[int, str]
    ) -> str:
        """Keys are written once, so the damaged object must go before a good one can come; its bytes are kept."""
        size, sha256 = bytes_there
        aside = f"{ASIDE}{sha256}.bin"
        damaged = next(copy for copy in recording.copies if copy.storage == found.storage)
        source = CopySource(backend, replace(damaged, size=size, sha256=sha256), lambda: False)
        kind, words = formats.UNKNOWN.content_type, sidecar.identity(recording)
        integrity.put(backend, aside, source, content_type=kind, metadata=words)
        if integrity.read_back(backend, aside) != bytes_there:
            raise Unrepairable(f"{found.key} could not be moved aside to {aside}: nothing was deleted.")
        backend.delete(found.key)
        log.warning("%s in %s was damaged; it lies under %s now.", found.key, found.storage, aside)
        return f"The damaged object lies under {aside} now. "

    def _copy(self, found: StoredCopy) -> str:
        """One attempt, as a worker makes it; where it fails, workers go on with it."""
        claim = self.retrieval.leases.reopen(found.copy_id, _PROBLEM)
        if claim is None:
            raise Unrepairable(_BUSY)
        self.retrieval.carry_out(claim, self.replicator.attempt)
        state, error = state_of(self._database, found.copy_id)
        if state is not State.STORED:
            raise Unrepairable(f"Copying failed, and workers go on with it: {error}")
        return "It was copied from another storage."


def _as_stored(found: StoredCopy, size: int, sha256: str) -> bool:
    return found.size in (None, size) and found.sha256 in (None, sha256)
