"""Repairs a copy that its store has lost or damaged: a good object is put in its place.

Before anything is changed, a good source is found: a copy in another storage that reads back right, or else Vonage,
while it keeps the recording. A damaged object is moved aside first: its bytes are never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from recordings.archive import formats, integrity, sidecar
from recordings.archive.failures import RetryPolicy
from recordings.archive.heartbeat import HeldLease
from recordings.archive.integrity import Stored
from recordings.archive.replicate import Replicator
from recordings.archive.sources import CopySource
from recordings.catalogue import copies, listing
from recordings.catalogue.copies import StoredCopy
from recordings.catalogue.leases import Claim, Leases
from recordings.clock import utc_now
from recordings.errors import TapekeeperError
from recordings.model import Copy, Recording, State
from recordings.storage import StorageBackend

from .verify import ASIDE

log = logging.getLogger(__name__)

_PROBLEM = "A check found it missing or damaged."
_BUSY = "Another process is at this copy already."


class Unrepairable(TapekeeperError):
    """Nothing was changed, or not enough; the message says what is left to do."""

    retryable = False


@dataclass(frozen=True)
class Repair:
    """Repairs stored copies in the configured storages, by the same steps that made them.

    `carry_out` makes one attempt under a claim and records its outcome: `recordings.archive.retrieval`.
    """

    storages: Mapping[str, StorageBackend]
    leases: Leases
    policy: RetryPolicy
    replicator: Replicator
    carry_out: Callable[[Claim, Callable[[HeldLease], Stored]], None]
    clock: Callable[[], datetime] = utc_now

    def mend(self, copy: StoredCopy) -> str:
        """Put a good object under this copy's key. Returns what was done; raises `Unrepairable`, or as a store does."""
        backend = self.storages.get(copy.storage)
        if backend is None:
            raise Unrepairable(f"{copy.storage} is not in STORAGE_URL any more: add it back.")
        damaged = integrity.read_back(backend, copy.key) if integrity.head(backend, copy.key) else None
        if damaged is not None and _as_stored(copy, *damaged):
            raise Unrepairable(
                "It reads back right, so it is left alone: only the size or digest that its store reports is wrong."
            )
        recording = listing.by_id(self.leases.database, copy.recording_id)
        good_copy = self._good_copy(recording, copy.storage)
        if good_copy is None and not self._at_vonage(recording):
            raise Unrepairable(
                "No other storage has a good copy, and Vonage has deleted the recording: nothing was changed."
            )
        moved = self._save(backend, recording, copy, damaged) if damaged else ""
        # From here on the row says that the copy is not stored: after a crash the workers go on with it.
        claim = self.leases.reopen(copy.copy_id, _PROBLEM)
        if claim is None:
            raise Unrepairable(_BUSY)
        backend.delete(copy.key)
        return moved + (self._copy_again(claim) if good_copy else self._fetch_again(claim))

    # --- Where a good object may come from ---------------------------------------------------------------------------

    def _good_copy(self, recording: Recording, storage: str) -> Copy | None:
        """The first copy outside this storage that reads back right."""
        for copy in recording.copies:
            backend = self.storages.get(copy.storage)
            if copy.state is not State.STORED or copy.storage == storage or backend is None:
                continue
            try:
                if integrity.read_back(backend, copy.key or "") == (copy.size, copy.sha256):
                    return copy
            except Exception as error:  # whatever a stranger's backend raises
                log.warning("The copy of %s in %s is no help: %s", recording.recording_uuid, copy.storage, error)
        return None

    def _at_vonage(self, recording: Recording) -> bool:
        return bool(recording.recording_url) and self.clock() < self.policy.deadline(recording)

    # --- Making room, and filling it ---------------------------------------------------------------------------------

    def _save(self, backend: StorageBackend, recording: Recording, stored: StoredCopy, damaged: tuple[int, str]) -> str:
        """Move the damaged object aside. A key is written only once, so a good object needs the key to be free."""
        size, sha256 = damaged
        aside = f"{ASIDE}{sha256}.bin"
        copy = next(copy for copy in recording.copies if copy.storage == stored.storage)
        source = CopySource(backend, replace(copy, size=size, sha256=sha256), lambda: False)
        content_type, metadata = formats.UNKNOWN.content_type, sidecar.identity(recording)
        integrity.put(backend, aside, source, content_type=content_type, metadata=metadata)
        if integrity.read_back(backend, aside) != damaged:
            raise Unrepairable(f"{stored.key} could not be moved aside to {aside}: nothing was deleted.")
        log.warning("%s in %s is damaged; its bytes lie under %s now.", stored.key, stored.storage, aside)
        return f"The damaged object lies under {aside} now. "

    def _fetch_again(self, claim: Claim) -> str:
        self.leases.give_back(claim)
        return "A worker fetches it again from Vonage."

    def _copy_again(self, claim: Claim) -> str:
        """One attempt, as a worker makes it; where it fails, workers go on with it."""
        self.carry_out(claim, self.replicator.attempt)
        state, error = copies.state_of(self.leases.database, claim.copy_id)
        if state is not State.STORED:
            raise Unrepairable(f"Copying failed, and workers go on with it: {error}")
        return "It was copied from another storage."


def _as_stored(copy: StoredCopy, size: int, sha256: str) -> bool:
    return copy.size in (None, size) and copy.sha256 in (None, sha256)
