"""Compares storages with the catalogue: does each hold what the catalogue says, and nothing else?

Findings are reported here, and repaired in `recordings.care.repair`. Memory does not grow with the catalogue: copies
are read in pages, and the storages' listings are compared with it in batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from recordings.archive import integrity
from recordings.archive.sidecar import SUFFIX
from recordings.catalogue import copies, listing
from recordings.catalogue.copies import StoredCopy
from recordings.catalogue.database import Database
from recordings.errors import InvalidKey, TapekeeperError
from recordings.keys import UUID, check_key
from recordings.model import State
from recordings.storage import ObjectInfo, StorageBackend

from .nightly import is_list

# Damaged objects are moved here before a repair puts good ones in their place; see `recordings.care.repair`.
ASIDE = "damaged/"

_BATCH = 200


class NoSuchRecording(TapekeeperError):
    """The catalogue does not know this recording."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    `kind`, of a copy: `missing`, `size`, `checksum`, `unreachable` (nothing is known: the store failed), `unconfigured`
    (its storage is not in STORAGE_URL any more). Of an object: `orphan` (the catalogue knows no such recording),
    `stray` (a known recording, under a key that is not its copy's), `aside` (what a repair moved away: no fault).
    """

    kind: str
    storage: str
    key: str
    recording_uuid: str | None
    problem: str


class Verification:
    """Compares one catalogue with its `storages`, by URL. With `deep` every object is read back and hashed.

    `threads` copies are checked at the same time.
    """

    def __init__(
        self, database: Database, storages: Mapping[str, StorageBackend], *, deep: bool = False, threads: int = 4
    ) -> None:
        self._database = database
        self._storages = storages
        self._deep = deep
        self._threads = threads

    def row_of(self, recording_uuid: str) -> int:
        """The row of this recording, after which a check can go on. Raises `NoSuchRecording`."""
        row = listing.last_row(self._database, recording_uuid)
        if row is None:
            raise NoSuchRecording(f"There is no recording {recording_uuid}. See all with: flask recordings list")
        return row

    def count(self, after: int = 0) -> int:
        """How many copies `copies(after)` will check."""
        return copies.count_stored(self._database, after)

    def copies(self, after: int = 0) -> Iterator[tuple[StoredCopy, Finding | None]]:
        """Each stored copy of the recordings after the row `after`, in their order, and what is wrong with it."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="verify") as pool:
            try:
                for page in copies.stored_pages(self._database, after):
                    yield from zip(page, pool.map(self.check, page), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def check(self, copy: StoredCopy) -> Finding | None:
        """One copy against its store: present, size, checksum as far as the store knows it; the bytes, if deep."""
        backend = self._storages.get(copy.storage)
        if backend is None:
            problem = f"{copy.storage} is not in STORAGE_URL any more: add it back to check this copy."
            return _finding("unconfigured", copy, problem)
        try:
            return self._compare(backend, copy)
        except (Exception, SystemExit) as error:  # whatever a stranger's backend raises: nothing is known of this copy
            return _finding("unreachable", copy, f"It could not be checked: {_message(error)}")

    def strays(self) -> Iterator[Finding]:
        """Each object that belongs to no copy. A sidecar belongs to its audio."""
        for storage, backend in self._storages.items():
            try:
                objects = integrity.listed(backend)
                while batch := list(islice(objects, _BATCH)):
                    yield from self._unknown(storage, backend, batch)
            except (Exception, SystemExit) as error:  # of a stranger's backend: the other storages are still listed
                yield Finding("unreachable", storage, "", None, f"It cannot be listed to its end: {_message(error)}")

    # --- Copies ------------------------------------------------------------------------------------------------------

    def _compare(self, backend: StorageBackend, copy: StoredCopy) -> Finding | None:
        info = integrity.head(backend, copy.key)
        if info is None:
            return _finding("missing", copy, "The store knows no such object.")
        finding = _differs(copy, info.size, info.checksums.get("sha256"), "its store says")
        if finding is None and self._deep:
            finding = _differs(copy, *integrity.read_back(backend, copy.key), "it reads back as")
        return finding

    # --- Objects -----------------------------------------------------------------------------------------------------

    def _unknown(self, storage: str, backend: StorageBackend, batch: list[ObjectInfo]) -> Iterator[Finding]:
        keys = {info.key for info in batch} | {info.key.removesuffix(SUFFIX) for info in batch}
        known = copies.known_keys(self._database, storage, keys)
        for info in batch:
            if info.key not in known and info.key.removesuffix(SUFFIX) not in known:
                finding = self._judge(storage, backend, info.key)
                if finding is not None:
                    yield finding

    def _judge(self, storage: str, backend: StorageBackend, key: str) -> Finding | None:
        """What an object is whose key no copy has.

        None for a sidecar beside its audio, for a nightly list, and for a copy in work.
        """
        if key.startswith(ASIDE):
            return Finding("aside", storage, key, None, "A repair moved it away: look at it, and delete it.")
        if is_list(key):
            return None
        try:
            check_key(key)
        except InvalidKey:  # the store cannot be asked for it
            return Finding(
                "orphan", storage, key, None, "The catalogue does not know it, and its name is no valid key."
            )
        if key.endswith(SUFFIX) and integrity.head(backend, key.removesuffix(SUFFIX)) is not None:
            return None
        info = integrity.head(backend, key)
        if info is None:
            return None  # deleted since it was listed
        uuids = {str(info.metadata.get("recording_uuid", "")), *UUID.findall(key)}
        owners = copies.keys_of(self._database, storage, uuids)
        if any(owner.state is not State.STORED or owner.key == key for owner in owners):
            return None  # a worker is about to record it, or has recorded it meanwhile
        if not owners:
            return Finding("orphan", storage, key, None, f"{info.size} bytes; the catalogue knows nothing of it.")
        problem = f"{info.size} bytes; this recording's copy lies under {owners[0].key}."
        return Finding("stray", storage, key, owners[0].recording_uuid, problem)


def _differs(copy: StoredCopy, size: int, sha256: str | None, source: str) -> Finding | None:
    if copy.size not in (None, size):
        return _finding("size", copy, f"The catalogue says {copy.size} bytes, {source} {size}.")
    if copy.sha256 is not None and sha256 not in (None, copy.sha256):
        return _finding("checksum", copy, f"The catalogue says SHA-256 {copy.sha256}, {source} {sha256}.")
    return None


def _finding(kind: str, copy: StoredCopy, problem: str) -> Finding:
    return Finding(kind, copy.storage, copy.key, copy.recording_uuid, problem)


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__
