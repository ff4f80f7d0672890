"""The sanity check: does each storage still hold what the catalogue says, and nothing that the catalogue does not know?

It looks and reports; what is done about a finding is `recordings.care.repair`. Memory does not grow with the catalogue:
copies are read in pages, and listings compared with it in batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Select, and_, func, or_, select

from recordings.archive import integrity
from recordings.archive.sidecar import SUFFIX
from recordings.catalogue.database import Database
from recordings.catalogue.tables import copies, recordings
from recordings.errors import TapekeeperError
from recordings.keys import UUID
from recordings.model import State
from recordings.storage import ObjectInfo, StorageBackend

# Damaged objects are moved here before a repair puts good ones in their place; see `recordings.care.repair`.
ASIDE = "damaged/"

_PAGE = 200
_STORED = copies.c.state == State.STORED.value


class NoSuchRecording(TapekeeperError):
    """The catalogue does not know this recording."""

    retryable = False


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """What the catalogue says of one stored copy; `size` in bytes."""

    copy_id: int
    recording_id: int
    recording_uuid: str
    storage: str
    key: str
    size: int | None
    sha256: str | None


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
    """Compares one catalogue with its storages, by URL. With `deep` every object is read back and hashed.

    `threads` copies are looked at at the same time.
    """

    def __init__(
        self, database: Database, storages: Mapping[str, StorageBackend], *, deep: bool = False, threads: int = 4
    ) -> None:
        self._database = database
        self._storages = storages
        self._deep = deep
        self._threads = threads

    def place(self, recording_uuid: str) -> int:
        """Where this recording stands in the order of the check. Raises `NoSuchRecording`."""
        with self._database.read() as connection:
            query = select(func.max(recordings.c.id)).where(recordings.c.recording_uuid == recording_uuid)
            place = connection.execute(query).scalar()
        if place is None:
            raise NoSuchRecording(f"There is no recording {recording_uuid}. See all with: flask recordings list")
        return int(place)

    def count(self, after: int = 0) -> int:
        """How many copies `copies(after)` will look at."""
        query = select(func.count()).select_from(copies).where(_STORED, copies.c.recording_id > after)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def copies(self, after: int = 0) -> Iterator[tuple[StoredCopy, Finding | None]]:
        """Each stored copy, in the order of its recordings, and what is wrong with it; `after` is a `place`."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="verify") as pool:
            try:
                for page in self._pages(after):
                    yield from zip(page, pool.map(self.look, page), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def look(self, copy: StoredCopy) -> Finding | None:
        """One copy against its store: present, size, checksum as far as the store tells it; the bytes, if deep."""
        kind_and_problem = self._compare(copy)
        return Finding(*_pair(kind_and_problem, copy)) if kind_and_problem else None

    def strays(self) -> Iterator[Finding]:
        """Each object that belongs to no copy. A sidecar belongs to its audio."""
        for storage, backend in self._storages.items():
            try:
                listing = integrity.listed(backend)
                while batch := list(islice(listing, _PAGE)):
                    yield from self._unknown(storage, backend, batch)
            except Exception as error:  # whatever a stranger's backend raises: the other storages are looked at still
                yield Finding("unreachable", storage, "", None, f"It cannot be listed to its end: {_said(error)}")

    # --- Copies ------------------------------------------------------------------------------------------------------

    def _compare(self, copy: StoredCopy) -> tuple[str, str] | None:
        backend = self._storages.get(copy.storage)
        if backend is None:
            return "unconfigured", f"{copy.storage} is not in STORAGE_URL any more: add it back to check this copy."
        try:
            there = integrity.head(backend, copy.key)
            if there is None:
                return "missing", "The store knows no such object."
            return _differs(copy, there.size, there.checksums.get("sha256"), "its store says") or self._read(
                backend, copy
            )
        except Exception as error:  # whatever a stranger's backend raises: nothing is known of this copy
            return "unreachable", f"It could not be checked: {_said(error)}"

    def _read(self, backend: StorageBackend, copy: StoredCopy) -> tuple[str, str] | None:
        return _differs(copy, *integrity.read_back(backend, copy.key), "it reads back as") if self._deep else None

    def _pages(self, after: int) -> Iterator[list[StoredCopy]]:
        last = (after + 1, 0)  # before the first copy of the next recording
        while True:
            later = or_(copies.c.recording_id > last[0], and_(copies.c.recording_id == last[0], copies.c.id > last[1]))
            query = _COPIES.where(_STORED, later).order_by(copies.c.recording_id, copies.c.id).limit(_PAGE)
            with self._database.read() as connection:
                page = [StoredCopy(**row._mapping) for row in connection.execute(query)]
            if page:
                yield page
            if len(page) < _PAGE:
                return
            last = (page[-1].recording_id, page[-1].copy_id)

    # --- Objects -----------------------------------------------------------------------------------------------------

    def _unknown(self, storage: str, backend: StorageBackend, batch: list[ObjectInfo]) -> Iterator[Finding]:
        wanted = {info.key for info in batch} | {info.key.removesuffix(SUFFIX) for info in batch}
        query = select(copies.c.key).where(copies.c.storage == storage, copies.c.key.in_(wanted))
        with self._database.read() as connection:
            known = set(connection.scalars(query))
        for info in batch:
            if info.key not in known and info.key.removesuffix(SUFFIX) not in known:
                finding = self._judge(storage, backend, info)
                if finding is not None:
                    yield finding

    def _judge(self, storage: str, backend: StorageBackend, info: ObjectInfo) -> Finding | None:
        """What an object is whose key no copy has; None for a sidecar beside its audio, and for a copy in work."""
        if info.key.startswith(ASIDE):
            return Finding("aside", storage, info.key, None, "A repair moved it away: look at it, and delete it.")
        if info.key.endswith(SUFFIX) and integrity.head(backend, info.key.removesuffix(SUFFIX)) is not None:
            return None
        there = integrity.head(backend, info.key)
        if there is None:
            return None  # deleted since it was listed
        named = {str(there.metadata.get("recording_uuid", "")), *UUID.findall(info.key)}
        query = select(recordings.c.recording_uuid, copies.c.state, copies.c.key).where(
            recordings.c.recording_uuid.in_(named),
            recordings.c.id == copies.c.recording_id,
            copies.c.storage == storage,
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        if any(row.state != State.STORED.value or row.key == info.key for row in rows):
            return None  # a worker is about to note it, or has noted it meanwhile
        if not rows:
            return Finding("orphan", storage, info.key, None, f"{info.size} bytes; the catalogue knows nothing of it.")
        problem = f"{info.size} bytes; this recording's copy lies under {rows[0].key}."
        return Finding("stray", storage, info.key, rows[0].recording_uuid, problem)


_COPIES: Select[Any] = select(
    copies.c.id.label("copy_id"),
    recordings.c.recording_uuid,
    *copies.c["recording_id", "storage", "key", "size", "sha256"],
).join_from(copies, recordings, recordings.c.id == copies.c.recording_id)


def _differs(copy: StoredCopy, size: int, sha256: str | None, who: str) -> tuple[str, str] | None:
    if copy.size not in (None, size):
        return "size", f"The catalogue says {copy.size} bytes, {who} {size}."
    if copy.sha256 is not None and sha256 not in (None, copy.sha256):
        return "checksum", f"The catalogue says SHA-256 {copy.sha256}, {who} {sha256}."
    return None


def _pair(told: tuple[str, str], copy: StoredCopy) -> tuple[str, str, str, str, str]:
    return told[0], copy.storage, copy.key, copy.recording_uuid, told[1]


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
