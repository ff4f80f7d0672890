"""The pipeline: claim a copy, let its backend fetch and store, verify against the store's own word, record it.

`Retrieval.archive` is the whole of it. What a failure means stands in `recordings.archive.failures`, not here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Protocol

from recordings.catalogue.leases import Claim, Leases
from recordings.catalogue.listing import find
from recordings.clock import utc_now
from recordings.errors import (
    CatalogueUnavailable,
    ChecksumMismatch,
    InvalidKey,
    LeaseLost,
    ObjectExists,
    SourceError,
    StorageConfigurationError,
)
from recordings.keys import KeyTemplate, check_key
from recordings.model import Copy, Recording
from recordings.storage import ObjectInfo, PutResult, StorageBackend

from . import formats, integrity, sidecar
from .failures import RetryPolicy
from .fetch import Fetcher
from .heartbeat import Heartbeat, HeldLease
from .integrity import Stored
from .limits import StorageLimits
from .replicate import Replicator
from .sources import RecordingSource

log = logging.getLogger(__name__)

# The key by the ending, and whether it is sure to be the same at every attempt.
_Keys = Callable[[str], tuple[str, bool]]

_CROWDED_SECONDS = 5.0  # until a copy is looked at again whose storage had no thread left for it


class Hooks(Protocol):
    """What plugins may say about a recording; `plugins.manager` keeps their errors to itself."""

    def listens(self, hook: str) -> bool: ...
    def object_key(self, recording: Recording) -> str | None: ...
    def recording_stored(self, recording: Recording, copy: Copy) -> None: ...
    def recording_failed(self, recording: Recording, copy: Copy, error: BaseException, will_retry: bool) -> None: ...


@dataclass(frozen=True)
class Retrieval:
    """Archives copies. `storages` maps each storage's URL, as the copies name it, to its backend."""

    leases: Leases
    heartbeat: Heartbeat
    fetcher: Fetcher
    storages: Mapping[str, StorageBackend]
    template: KeyTemplate
    hooks: Hooks
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    replicator: Replicator | None = None
    lanes: StorageLimits = field(default_factory=StorageLimits)
    version: str = ""
    clock: Callable[[], datetime] = utc_now
    pause: Callable[[float], None] = time.sleep

    def archive(self, claim: Claim) -> None:
        """Make one attempt at a claimed copy. The outcome is in the catalogue: no fault of an attempt is raised."""
        with self.lanes.enter(claim.storage) as room:
            if room:
                self.carry_out(claim, self._way(claim))
            else:
                self.leases.give_back(claim, _CROWDED_SECONDS)

    def _way(self, claim: Claim) -> Callable[[Claim, HeldLease], Stored]:
        """From Vonage, as long as it keeps the recording; after that from another copy, if there is one."""
        over = self.clock() >= self.policy.deadline(claim.recording)
        if over and self.replicator and self.replicator.sources(claim.recording, claim.storage):
            return self.replicator.attempt
        return self._attempt

    def carry_out(self, claim: Claim, attempt: Callable[[Claim, HeldLease], Stored]) -> None:
        """Make one attempt under this claim, and write down what came of it. No fault of it is raised."""
        with self.heartbeat.holding(claim) as held:
            try:
                stored = attempt(claim, held)
            except LeaseLost as error:
                log.warning("%s Nothing was recorded.", error)
            except Exception as error:
                self._note_failure(claim, error)
            else:
                self._note_success(claim, stored)

    # --- One attempt -------------------------------------------------------------------------------------------------

    def _attempt(self, claim: Claim, held: HeldLease) -> Stored:
        recording, backend = claim.recording, self._backend(claim.storage)
        keys = cache(partial(self._key, recording))  # asked of the plugins once, with each ending
        with RecordingSource(self.fetcher, recording, held.lost) as source:
            stored = self._obtain(backend, claim, source, keys)
        if held.lost():
            raise LeaseLost(f"Lost {recording.recording_uuid} in {claim.storage} before it was recorded.")
        sidecar.write(backend, recording, claim.storage, stored, self.clock(), self.version)
        return stored

    def _obtain(self, backend: StorageBackend, claim: Claim, source: RecordingSource, keys: _Keys) -> Stored:
        """Look before downloading whether it is there already, but at the first attempt only where Vonage fails us.

        Then nothing can be there, unless a catalogue was lost, and looking would cost each recording a question to its
        store.
        """
        first = claim.attempts == 1
        there = None if first else self._already_there(backend, claim, source, keys)
        try:
            return there or self._fetch(backend, claim, source, keys)
        except SourceError:
            there = self._already_there(backend, claim, source, keys) if first else None
            if there is None:
                raise
            return there

    def _already_there(
        self, backend: StorageBackend, claim: Claim, source: RecordingSource, keys: _Keys
    ) -> Stored | None:
        """What is there, where the key is known without the bytes."""
        kind = formats.BY_FORMAT.get(claim.recording.format or "")
        if kind is None:
            return None
        there = integrity.head(backend, claim.key or keys(kind.ext)[0])
        return self._settle(backend, claim.recording, there, kind, source) if there else None

    def _fetch(self, backend: StorageBackend, claim: Claim, source: RecordingSource, keys: _Keys) -> Stored:
        recording, kind = claim.recording, source.look()
        key = claim.key or self._chosen_key(claim, keys(kind.ext))
        metadata = sidecar.identity(recording)
        result = integrity.put(backend, key, source, content_type=kind.content_type, metadata=metadata)
        there = integrity.head(backend, key)
        if not result.created and there is not None:
            return self._settle(backend, recording, there, kind, source)
        if source.stream is None:
            raise ChecksumMismatch(f"{key}: the store reported success, but never opened the source.")
        integrity.agree(key, source.stream, result, there)
        if recording.size not in (None, source.stream.received):
            log.warning(
                "%s: %s bytes were announced, %s came.",
                recording.recording_uuid,
                recording.size,
                source.stream.received,
            )
        return Stored(key, kind, PutResult(source.stream.received, source.stream.sha256, True, result.uri))

    def _settle(
        self,
        backend: StorageBackend,
        recording: Recording,
        there: ObjectInfo,
        kind: formats.Kind,
        source: RecordingSource,
    ) -> Stored:
        """The key holds an object already: make sure that it is this recording, whole.

        So it is after a crash between storing and recording it. Where the store kept no word of whose it is, or no
        digest to trust, the bytes are compared with a fresh download.
        """
        theirs = there.metadata
        if any(theirs.get(name, value) != value for name, value in sidecar.identity(recording).items()):
            raise ObjectExists(
                f"{there.key} holds another recording, {theirs.get('recording_uuid')}. Where two applications share a "
                "storage, put {application_id} into STORAGE_KEY_TEMPLATE."
            )
        size, sha256 = integrity.read_back(backend, there.key)
        recorded = there.checksums.get("sha256")
        if size != there.size or recorded not in (None, sha256):
            raise ChecksumMismatch(
                f"{there.key} is damaged: it does not read back as it was stored. Move it away, and it is fetched anew."
            )
        sure = recorded is not None and "recording_uuid" in theirs
        if not sure and integrity.read_source(source.open()) != (size, sha256):
            raise ObjectExists(
                f"{there.key} holds other audio than {recording.recording_uuid}: move it away and retry."
            )
        return Stored(there.key, kind, PutResult(size, sha256, False, there.uri or there.key))

    def _backend(self, storage: str) -> StorageBackend:
        if storage not in self.storages:
            raise StorageConfigurationError(
                f"{storage} is not in STORAGE_URL any more: add it back to finish this copy."
            )
        return self.storages[storage]

    def _chosen_key(self, claim: Claim, found: tuple[str, bool]) -> str:
        """The key, pinned in the catalogue before the first byte is stored where another attempt might choose another.

        Else a crash in between could leave the recording in the store twice.
        """
        key, steady = found
        if not steady:
            self.leases.pin(claim, key)
        return key

    def _key(self, recording: Recording, ext: str) -> tuple[str, bool]:
        """The key, and whether it is sure to be the same at every attempt."""
        wanted = self.hooks.object_key(recording)
        if wanted is None:
            return self.template.render(recording, ext), self.template.steady
        try:
            check_key(wanted)
            if recording.recording_uuid not in wanted:
                raise InvalidKey(f"{wanted!r} does not hold the recording_uuid, so two recordings could share it.")
        except InvalidKey as error:
            log.error("A plugin's object_key is not used, STORAGE_KEY_TEMPLATE is. %s", error)
            return self.template.render(recording, ext), False
        return wanted, False

    # --- Its outcome -------------------------------------------------------------------------------------------------

    def _note_success(self, claim: Claim, stored: Stored) -> None:
        key, kind, result = stored.key, stored.kind, stored.result
        if self._note(lambda: self.leases.stored(claim, key=key, content_type=kind.content_type, result=result)):
            log.info("Stored %s in %s as %s.", claim.recording.recording_uuid, claim.storage, key)
            if self.hooks.listens("recording_stored"):
                self.hooks.recording_stored(*self._now_known(claim))

    def _note_failure(self, claim: Claim, error: Exception) -> None:
        decision = self.policy.decide(error, claim.attempts, claim.recording, self.clock())
        uuid = claim.recording.recording_uuid
        if not hasattr(error, "retryable"):
            log.error("An error that nobody foresaw, with %s in %s.", uuid, claim.storage, exc_info=error)
        if decision.will_retry:
            noted = self._note(lambda: self.leases.retry_later(claim, decision.state, decision.reason, decision.delay))
        else:
            noted = self._note(lambda: self.leases.failed(claim, decision.reason))
        if noted:
            wait = (
                f"Next attempt in {decision.delay:.0f} s." if decision.will_retry else "No further attempt by itself."
            )
            log.warning("%s in %s is %s. %s %s", uuid, claim.storage, decision.state.value, decision.reason, wait)
            if self.hooks.listens("recording_failed"):
                self.hooks.recording_failed(*self._now_known(claim), error, decision.will_retry)

    def _note(self, write: Callable[[], None]) -> bool:
        """Record an outcome, waiting for a database that is away: the work is done and must not be done again."""
        for wait in (0.5, 1, 2, 4, 8, 15, 15, 15, 30, 30):
            try:
                write()
                return True
            except LeaseLost as error:
                log.warning("%s Its outcome stands, not ours.", error)
                return False
            except CatalogueUnavailable as error:
                log.warning("%s The outcome waits for it.", error)
                self.pause(wait)
        log.error("The database stayed away; the lease will run out and the copy be looked at again.")
        return False

    def _now_known(self, claim: Claim) -> tuple[Recording, Copy]:
        """The recording and the copy as the catalogue has them now, for the hooks."""
        same = claim.recording.application_id
        recording = next(
            r for r in find(self.leases.database, claim.recording.recording_uuid) if r.application_id == same
        )
        return recording, next(copy for copy in recording.copies if copy.storage == claim.storage)
