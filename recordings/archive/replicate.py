"""Copies from one storage to another: for a storage that was added later, and for what Vonage has deleted since.

The bytes come from a copy that the catalogue calls stored, and are compared with what the catalogue knows of them
before the new store makes them visible. Claiming, leases and outcomes are those of every copy: see `retrieval`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import ColumnElement, and_, exists, func, not_, select

from recordings.catalogue.database import Database
from recordings.catalogue.leases import Claim
from recordings.catalogue.listing import by_ids
from recordings.catalogue.tables import copies, recordings
from recordings.clock import utc_now
from recordings.errors import ChecksumMismatch, LeaseLost, ObjectExists, SourceError
from recordings.model import Copy, Recording, State
from recordings.storage import PutResult, StorageBackend

from . import formats, integrity, sidecar
from .heartbeat import HeldLease
from .integrity import Stored

_PAGE = 200


class CopyUnreadable(SourceError):
    """A stored copy that was to be copied is away, gone or damaged."""


@dataclass(frozen=True)
class Replicator:
    """Makes copies out of copies. `storages` are the configured ones by URL; `reopen` makes one that is so no more."""

    storages: Mapping[str, StorageBackend]
    reopen: Callable[[str], StorageBackend]
    version: str = ""
    clock: Callable[[], datetime] = utc_now
    _former: dict[str, StorageBackend] = field(default_factory=dict, init=False, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def sources(self, recording: Recording, storage: str) -> list[Copy]:
        """The copies that one for this storage can be made of, those in configured storages first."""
        usable = [copy for copy in recording.copies if copy.state is State.STORED and copy.storage != storage]
        return sorted(usable, key=lambda copy: copy.storage not in self.storages)

    def attempt(self, claim: Claim, held: HeldLease) -> Stored:
        """Copy from the first copy that can be read. Raises `CopyUnreadable`, or what the store raises."""
        problems = []
        for copy in self.sources(claim.recording, claim.storage):
            try:
                return copy_between(self._backend(copy.storage), self.storages[claim.storage], claim, copy, held, self)
            except CopyUnreadable as error:
                problems.append(str(error))
        raise CopyUnreadable(" ".join(problems) or "No other storage has a copy.")

    def _backend(self, storage: str) -> StorageBackend:
        if storage in self.storages:
            return self.storages[storage]
        with self._guard:
            if storage not in self._former:
                try:
                    self._former[storage] = self.reopen(storage)
                except Exception as error:  # a plugin that is gone, credentials that are
                    raise CopyUnreadable(f"{storage}, which has a copy, cannot be opened: {error}") from error
            return self._former[storage]

    def close(self) -> None:
        """Give back the connections to storages that are configured no more."""
        with self._guard:
            while self._former:
                self._former.popitem()[1].close()


def copy_between(
    origin: StorageBackend, target: StorageBackend, claim: Claim, copy: Copy, held: HeldLease, maker: Replicator
) -> Stored:
    """Copy one recording, verify it, and put its sidecar beside it."""
    recording, key = claim.recording, claim.key or copy.key or ""
    kind = next(
        (kind for kind in formats.BY_FORMAT.values() if kind.content_type == copy.content_type), formats.UNKNOWN
    )
    source, metadata = CopySource(origin, copy, held.lost), sidecar.identity(recording)
    result = integrity.put(target, key, source, content_type=kind.content_type, metadata=metadata)
    if result.created and source.stream is not None:
        integrity.agree(key, source.stream, result, integrity.head(target, key))
    else:
        _settle(target, key, copy, recording)
    if held.lost():
        raise LeaseLost(f"Lost {recording.recording_uuid} in {claim.storage} before it was recorded.")
    stored = Stored(key, kind, PutResult(result.size, copy.sha256, result.created, result.uri))
    sidecar.write(target, recording, claim.storage, stored, maker.clock(), maker.version)
    return stored


def _settle(target: StorageBackend, key: str, copy: Copy, recording: Recording) -> None:
    """The key was taken: make sure that it holds this recording. So it is after a crash before it was recorded."""
    there = integrity.head(target, key)
    if there is None:
        raise ChecksumMismatch(f"{key}: the store reported success, and then knew no such object.")
    whose = there.metadata.get("recording_uuid", recording.recording_uuid)
    if whose != recording.recording_uuid or integrity.read_back(target, key) != (copy.size, copy.sha256):
        raise ObjectExists(f"{key} holds other bytes than the copy in {copy.storage}: move it away and repeat.")


class CopySource:
    """A stored copy, as another backend's `put` sees it."""

    def __init__(self, origin: StorageBackend, copy: Copy, stopped: Callable[[], bool]) -> None:
        self._origin = origin
        self._copy = copy
        self._stopped = stopped
        self.size = copy.size
        self.stream: CopyStream | None = None  # the last one that was handed out

    def open(self) -> CopyStream:
        """Start reading, from the first byte."""
        self.stream = CopyStream(self._origin, self._copy, self._stopped)
        return self.stream


class CopyStream:
    """The bytes of a stored copy, which end only when they are those that the catalogue knows."""

    def __init__(self, origin: StorageBackend, copy: Copy, stopped: Callable[[], bool]) -> None:
        self._copy = copy
        self._stopped = stopped
        self._origin = origin
        self._pieces: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._digest = hashlib.sha256()
        self.received = 0
        self.complete = False
        self.size = copy.size
        self.content_type = copy.content_type or formats.UNKNOWN.content_type

    @property
    def sha256(self) -> str:
        """Of the bytes read so far, in lower-case hex."""
        return self._digest.hexdigest()

    def read(self, n: int = -1, /) -> bytes:
        """Exactly `n` bytes until the end; `-1`: all that is left. Raises `CopyUnreadable` at a false end."""
        parts: list[memoryview] = []
        missing = n
        while missing:
            if not self._rest and not self._refill():
                break
            part = self._rest if n < 0 else self._rest[:missing]
            parts.append(part)
            self._rest = self._rest[len(part) :]
            missing -= len(part) if n >= 0 else 0
        return b"".join(parts)

    def _refill(self) -> bool:
        if self._stopped():
            raise LeaseLost("Stopped in mid-copy: it is another worker's now, or this one is shutting down.")
        piece = self._piece()
        self._digest.update(piece)
        self.received += len(piece)
        self._rest = memoryview(piece)
        if not piece:
            self._end()
        return bool(piece)

    def _piece(self) -> bytes:
        try:
            if self._pieces is None:
                self._pieces = iter(self._origin.get(self._copy.key or ""))
            return next((piece for piece in self._pieces if piece), b"")
        except Exception as error:  # whatever the store, perhaps a stranger's, raises
            raise CopyUnreadable(f"The copy in {self._copy.storage} cannot be read: {error}") from error

    def _end(self) -> None:
        if (self.received, self.sha256) != (self._copy.size, self._copy.sha256):
            raise CopyUnreadable(
                f"The copy in {self._copy.storage} is damaged: {self._copy.key} has {self.received} bytes that are not "
                f"the {self._copy.size} that were stored."
            )
        self.complete = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close: Any = getattr(self._pieces, "close", None)
        if close:
            close()


# --- Which recordings lack a copy ------------------------------------------------------------------------------------


def _lacks(storage: str) -> ColumnElement[bool]:
    there = exists().where(
        copies.c.recording_id == recordings.c.id, copies.c.storage == storage, copies.c.state == State.STORED.value
    )
    return and_(not_(recordings.c.empty), not_(there))


def count_lacking(database: Database, storage: str) -> int:
    """How many recordings have no stored copy in this storage."""
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(recordings).where(_lacks(storage))).scalar_one()


def lacking(database: Database, storage: str) -> Iterator[tuple[int, Recording]]:
    """Each recording without a stored copy in this storage, with its row's id; oldest first, read in pages."""
    last = 0
    while True:
        query = select(recordings.c.id).where(_lacks(storage), recordings.c.id > last)
        with database.read() as connection:
            ids = connection.execute(query.order_by(recordings.c.id).limit(_PAGE)).scalars().all()
            known = by_ids(connection, ids)
        yield from ((recording_id, known[recording_id]) for recording_id in ids)
        if len(ids) < _PAGE:
            return
        last = ids[-1]


def leave(database: Database, recording_id: int, storage: str, now: datetime) -> None:
    """Ask for a copy that the workers are to fetch from Vonage, unless it was asked for before."""
    row = {"recording_id": recording_id, "storage": storage, "state": State.PENDING.value, "attempts": 0}
    statement = database.insert(copies).values(row | {"due_at": now}).on_conflict_do_nothing()
    with database.write() as connection:
        connection.execute(statement)
        database.tell_others(connection)


def state_of(database: Database, copy_id: int) -> tuple[State, str | None]:
    """The state of a copy, and its error."""
    with database.read() as connection:
        row = connection.execute(select(*copies.c["state", "error"]).where(copies.c.id == copy_id)).one()
        return State(row.state), row.error
