"""One attempt at one copy: get the audio into the storage, compare it with the storage's answers, record the outcome.

`Retrieval.archive` does all of it. What a failure means is in `failures`, the single steps are in `transfer`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from recordings.catalogue.leases import Claim, Leases, StoredAudio
from recordings.catalogue.listing import find
from recordings.clock import utc_now
from recordings.errors import CatalogueUnavailable, LeaseLost, SourceError
from recordings.keys import KeyTemplate
from recordings.model import Copy, Recording, State
from recordings.storage import PutResult, StorageBackend

from . import formats, integrity
from .failures import RetryPolicy, plain
from .fetch import Fetcher
from .heartbeat import Heartbeat, HeldLease
from .hooks import Hooks
from .integrity import Stored
from .limits import StorageLimits
from .object_keys import KeyChoice
from .replicate import Replicator
from .sidecar import SidecarWriter
from .sources import RecordingSource
from .transfer import Transfer, configured

log = logging.getLogger(__name__)

_CROWDED_SECONDS = 5.0  # the wait of a copy whose storage has as many threads as it may have

# A database that is away gets two minutes to come back, so that finished work is not done again.
_OUTCOME_WAITS = (0.5, 1, 2, 4, 8, 15, 15, 15, 30, 30)


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
    limits: StorageLimits = field(default_factory=StorageLimits)
    sidecars: SidecarWriter = field(default_factory=SidecarWriter)
    clock: Callable[[], datetime] = utc_now
    pause: Callable[[float], None] = time.sleep

    def archive(self, claim: Claim) -> None:
        """Make one attempt at a claimed copy. The outcome is in the catalogue: no fault of an attempt is raised."""
        with self.limits.enter(claim.storage) as allowed:
            if allowed:
                self.carry_out(claim, self._choose_attempt(claim))
            else:
                self.leases.give_back(claim, _CROWDED_SECONDS)

    def _choose_attempt(self, claim: Claim) -> Callable[[HeldLease], Stored]:
        """How to get the audio: from Vonage while Vonage keeps it, after that from another copy if there is one."""
        over = self.clock() >= self.policy.deadline(claim.recording)
        if over and self.replicator and self.replicator.sources(claim.recording, claim.storage):
            return self.replicator.attempt
        return self._attempt

    def carry_out(self, claim: Claim, attempt: Callable[[HeldLease], Stored]) -> None:
        """Make one attempt under this claim, and record its outcome. No fault of the attempt is raised."""
        with self.heartbeat.holding(claim) as held:
            stored = None
            try:
                stored = self._stored_before(held) or attempt(held)
                self._write_sidecar(held, stored)
            except LeaseLost as error:
                log.warning("%s Nothing was recorded.", error)
            except (Exception, SystemExit) as error:  # a plugin's backend may exit
                self._note_failure(claim, error, stored)
            else:
                self._note_success(claim, stored)

    # --- One attempt -------------------------------------------------------------------------------------------------

    def _attempt(self, held: HeldLease) -> Stored:
        """Fetch the recording from Vonage, unless the storage has it already.

        The first attempt asks the storage only when Vonage does not give the audio. The storage can hold it at that
        time only if a catalogue was lost, and the question would cost a request for each recording.
        """
        claim, target = held.claim, configured(self.storages, held.claim.storage)
        choice = KeyChoice(claim, self.template, self.hooks)
        with RecordingSource(self.fetcher, claim.recording, held.lost, _last_error(claim)) as source:
            transfer, first = Transfer(held, source, target), claim.attempts == 1
            stored = None if first else _settle(transfer, choice)
            try:
                return stored or self._fetch(transfer, choice)
            except SourceError:
                stored = _settle(transfer, choice) if first else None
                if stored is None:
                    raise
                return stored

    def _fetch(self, transfer: Transfer, choice: KeyChoice) -> Stored:
        claim = transfer.held.claim
        key = choice.key(transfer.source.look().ext)
        if not key.steady:
            # Pinned before the first byte is stored: another attempt might choose another key, and a crash in between
            # could leave the recording in the store twice.
            self.leases.pin(claim, key.text)
        stored = transfer.store(key.text)
        announced = claim.recording.size
        if stored.result.created and announced not in (None, stored.result.size):
            uuid = claim.recording.recording_uuid
            log.warning("%s: %s bytes were announced, %s came.", uuid, announced, stored.result.size)
        return stored

    def _stored_before(self, held: HeldLease) -> Stored | None:
        """The audio that an earlier attempt stored without its sidecar; None when there is none, or it is gone."""
        audio = held.claim.audio
        info = audio and integrity.head(configured(self.storages, held.claim.storage), audio.key)
        if (
            not audio
            or not info
            or info.size != audio.size
            or info.checksums.get("sha256", audio.sha256) != audio.sha256
        ):
            return None
        result = PutResult(audio.size, audio.sha256, False, audio.uri)
        return Stored(audio.key, formats.of_content_type(audio.content_type), result)

    def _write_sidecar(self, held: HeldLease, stored: Stored) -> None:
        """Write the sidecar beside the audio."""
        held.check()
        self.sidecars.write(configured(self.storages, held.claim.storage), held.claim, stored)

    # --- Its outcome -------------------------------------------------------------------------------------------------

    def _note_success(self, claim: Claim, stored: Stored) -> None:
        key, kind, result = stored.key, stored.kind, stored.result
        written = self._note(
            claim,
            State.STORED,
            lambda: self.leases.stored(claim, key=key, content_type=kind.content_type, result=result),
        )
        if written:
            log.info("Stored %s in %s as %s.", claim.recording.recording_uuid, claim.storage, key)
            if self.hooks.listens("recording_stored"):
                self.hooks.recording_stored(*self._now_known(claim))

    def _note_failure(self, claim: Claim, error: BaseException, stored: Stored | None) -> None:
        now, fetched = self.clock(), stored is not None
        decision = self.policy.decide(error, claim.attempts, claim.recording, now, fetched=fetched)
        reason = f"The audio is stored, its sidecar is not. {decision.reason}" if fetched else decision.reason
        uuid, audio = claim.recording.recording_uuid, _audio(stored)
        if not hasattr(error, "retryable"):
            log.error("An error that no code foresaw, with %s in %s.", uuid, claim.storage, exc_info=error)
        if decision.will_retry:
            next_step = f"Next attempt in {decision.delay:.0f} s."
            delay = decision.delay
            noted = self._note(
                claim,
                decision.state,
                lambda: self.leases.retry_later(claim, decision.state, reason, delay, audio=audio),
            )
        else:
            next_step = "No further attempt by itself."
            noted = self._note(claim, State.FAILED, lambda: self.leases.failed(claim, reason, audio=audio))
        if noted:
            log.warning(
                "%s in %s is %s. %s %s", uuid, claim.storage, decision.state.value, _sentence(reason), next_step
            )
            if self.hooks.listens("recording_failed"):
                self.hooks.recording_failed(*self._now_known(claim), plain(error), decision.will_retry)

    def _note(self, claim: Claim, state: State, write: Callable[[], None]) -> bool:
        """Record an outcome, and wait for a database that is away. Returns whether it was recorded."""
        tried = False
        for wait in _OUTCOME_WAITS:
            try:
                return self._written(claim, state, write, tried)
            except CatalogueUnavailable as error:
                log.warning("%s The outcome waits for it.", error)
                tried = True
                self.pause(wait)
        log.error("The database stayed away; the lease will run out, and a worker takes the copy up again.")
        return False

    def _written(self, claim: Claim, state: State, write: Callable[[], None], again: bool) -> bool:
        """Whether our outcome counts.

        A commit's answer may be lost with the connection. Written `again`, the outcome then finds the claim ended, by
        ourselves.
        """
        try:
            write()
        except LeaseLost as error:
            if again and self.leases.ended(claim, state):
                return True
            log.warning("%s That worker's outcome counts, not ours.", error)
            return False
        return True

    def _now_known(self, claim: Claim) -> tuple[Recording, Copy]:
        """The recording and the copy as the catalogue has them now, for the hooks."""
        application_id = claim.recording.application_id
        candidates = find(self.leases.database, claim.recording.recording_uuid)
        recording = next(recording for recording in candidates if recording.application_id == application_id)
        return recording, next(copy for copy in recording.copies if copy.storage == claim.storage)


def _sentence(text: str) -> str:
    """The text with an end: errors of the network end without a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _settle(transfer: Transfer, choice: KeyChoice) -> Stored | None:
    """What the storage holds already.

    Only asked where the event's format gives the key before the first byte has come.
    """
    kind = formats.BY_FORMAT.get(transfer.held.claim.recording.format or "")
    return transfer.settle(choice.key(kind.ext).text, kind) if kind else None


def _audio(stored: Stored | None) -> StoredAudio | None:
    """What the row keeps of stored audio."""
    if stored is None:
        return None
    result = stored.result
    return StoredAudio(stored.key, result.size, result.sha256 or "", stored.kind.content_type, result.uri)


def _last_error(claim: Claim) -> str | None:
    """The error that ended the attempt before this one, as the row keeps it."""
    return next((copy.error for copy in claim.recording.copies if copy.storage == claim.storage), None)
