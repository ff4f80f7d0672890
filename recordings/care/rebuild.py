"""Rebuilds the catalogue out of what a store holds: each sidecar whose audio is there becomes a stored recording.

The store is only read. A sidecar that cannot be believed is reported and left out; what the catalogue knows already is
not read again, so that an import that was interrupted goes on where it stopped. Memory does not grow with the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from recordings.archive import integrity, sidecar
from recordings.archive.sidecar import SUFFIX
from recordings.archive.sidecar_reading import MAX_SIDECAR, BadSidecar, SidecarContent, read_sidecar
from recordings.catalogue import copies
from recordings.catalogue.database import Database
from recordings.catalogue.leases import StoredAudio
from recordings.catalogue.rebuild import ArchivedRecording, bring_in
from recordings.clock import utc_now
from recordings.messages import message_of
from recordings.storage import ObjectInfo, StorageBackend

from .verify import ASIDE

_BATCH = 200

# What a sidecar's recording is told when the catalogue does not take it.
_NOT_TAKEN = {
    "elsewhere": "The catalogue has this recording in this storage under another key. That key stays.",
    "busy": "A worker is at this copy just now. Repeat the import if it does not store the copy.",
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one sidecar, by its key.

    `outcome` is one of `recordings.catalogue.rebuild.bring_in`, or `skipped`: it cannot be used, or its audio is not
    what it says. `problem` says why the catalogue did not take it.
    """

    key: str
    outcome: str
    problem: str = ""


class Rebuild:
    """Brings what lies in `backend`, the storage that the catalogue knows as `storage`, into the catalogue.

    With `deep` each audio file is read back and hashed. `threads` sidecars are read at the same time.
    """

    def __init__(
        self,
        database: Database,
        storage: str,
        backend: StorageBackend,
        *,
        deep: bool = False,
        threads: int = 8,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._storage = storage
        self._backend = backend
        self._deep = deep
        self._threads = threads
        self._clock = clock

    def run(self) -> Iterator[Imported]:
        """Each sidecar and what became of it; a batch of them is committed before it is reported.

        Raises what the store raises when it cannot be listed.
        """
        sidecars = (
            info
            for info in integrity.listed(self._backend)
            if info.key.endswith(SUFFIX) and not info.key.startswith(ASIDE)
        )
        with ThreadPoolExecutor(self._threads, thread_name_prefix="import") as pool:
            try:
                while batch := list(islice(sidecars, _BATCH)):
                    yield from self._import(pool, batch)
            finally:
                pool.shutdown(cancel_futures=True)

    def _import(self, pool: ThreadPoolExecutor, batch: list[ObjectInfo]) -> list[Imported]:
        keys = {info.key.removesuffix(SUFFIX) for info in batch}
        known = copies.stored_keys(self._database, self._storage, keys)
        results = [Imported(info.key, "stored") for info in batch if info.key.removesuffix(SUFFIX) in known]
        unknown = [info for info in batch if info.key.removesuffix(SUFFIX) not in known]
        usable = []
        for info, judged in zip(unknown, pool.map(self._judge, unknown), strict=True):
            if isinstance(judged, str):
                results.append(Imported(info.key, "skipped", judged))
            else:
                usable.append(judged)
        outcomes = bring_in(self._database, usable, clock=self._clock)
        for archived, outcome in zip(usable, outcomes, strict=True):
            results.append(Imported(archived.audio.key + SUFFIX, outcome, _NOT_TAKEN.get(outcome, "")))
        return results

    # --- One sidecar -------------------------------------------------------------------------------------------------

    def _judge(self, info: ObjectInfo) -> ArchivedRecording | str:
        """What the sidecar says, proven by the store; or the reason why it cannot be used."""
        try:
            content = read_sidecar(self._read(info), info.key)
            return self._prove(content)
        except (Exception, SystemExit) as error:  # a stranger's backend may raise anything; the others are imported
            return message_of(error)

    def _read(self, info: ObjectInfo) -> bytes:
        """The sidecar's bytes. They are counted, too: a listing can be wrong."""
        data = bytearray()
        if info.size <= MAX_SIDECAR:
            for piece in self._backend.get(info.key):
                data += piece
                if len(data) > MAX_SIDECAR:
                    break
        if max(info.size, len(data)) > MAX_SIDECAR:
            raise BadSidecar(f"It has more than {MAX_SIDECAR // 1024} KiB: no sidecar has so many.")
        return bytes(data)

    def _prove(self, content: SidecarContent) -> ArchivedRecording:
        """Raise `BadSidecar` unless the store holds the audio that the sidecar describes."""
        audio = integrity.head(self._backend, content.key)
        if audio is None:
            raise BadSidecar("The audio that it describes is not in the store.")
        _agree(content, audio.size, audio.checksums.get("sha256"), "the store says")
        identity = sidecar.identity(content.recording)
        if audio.metadata.get("recording_uuid", identity["recording_uuid"]) != identity["recording_uuid"]:
            raise BadSidecar("The audio beside it is labelled as another recording's.")
        if self._deep:
            _agree(content, *integrity.read_back(self._backend, content.key), "it reads back as")
        stored = StoredAudio(content.key, content.size, content.sha256, content.content_type, audio.uri or content.key)
        return ArchivedRecording(content.recording, self._storage, stored, content.stored_at or self._clock())


def _agree(content: SidecarContent, size: int, sha256: str | None, source: str) -> None:
    if size != content.size:
        raise BadSidecar(f"It says that the audio has {content.size} bytes, {source} {size}.")
    if sha256 not in (None, content.sha256):
        raise BadSidecar(f"It says that the audio's SHA-256 is {content.sha256}, {source} {sha256}.")
