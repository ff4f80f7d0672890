"""Questions about copies: which recordings lack a copy, which copies are stored, and to which copy a key belongs.

Nothing is written here. A copy's row is written by `intake`, `schedule` and `leases`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, exists, func, not_, or_, select

from recordings.model import Recording, State

from .database import Database
from .identity import has_uuid
from .listing import by_ids
from .tables import copies, recordings

_PAGE = 200
_STORED = copies.c.state == State.STORED.value


# --- Recordings that lack a copy -------------------------------------------------------------------------------------


def _lacks(storage: str) -> ColumnElement[bool]:
    stored = exists().where(copies.c.recording_id == recordings.c.id, copies.c.storage == storage, _STORED)
    return and_(not_(recordings.c.empty), not_(stored))


def count_lacking(database: Database, storage: str) -> int:
    """How many recordings have no stored copy in this storage."""
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(recordings).where(_lacks(storage))).scalar_one()


def lacking(database: Database, storage: str, *, page: int = _PAGE) -> Iterator[tuple[int, Recording]]:
    """The recordings without a stored copy in this storage, with their rows' ids; oldest first, `page` at a time."""
    last = 0
    while True:
        query = select(recordings.c.id).where(_lacks(storage), recordings.c.id > last)
        with database.read() as connection:
            ids = connection.execute(query.order_by(recordings.c.id).limit(page)).scalars().all()
            by_id = by_ids(connection, ids)
        yield from ((recording_id, by_id[recording_id]) for recording_id in ids)
        if len(ids) < page:
            return
        last = ids[-1]


def state_of(database: Database, copy_id: int) -> tuple[State, str | None]:
    """The state of a copy, and its error."""
    with database.read() as connection:
        row = connection.execute(select(*copies.c["state", "error"]).where(copies.c.id == copy_id)).one()
        return State(row.state), row.error


def claim_times(database: Database, recording_id: int) -> dict[str, datetime]:
    """When a worker last took each copy of this recording, by storage; copies that none took are left out."""
    query = select(*copies.c["storage", "claimed_at"]).where(copies.c.recording_id == recording_id)
    with database.read() as connection:
        return {row.storage: row.claimed_at for row in connection.execute(query) if row.claimed_at}


def has_audio(recording_id: Any) -> ColumnElement[bool]:
    """Whether the audio of this recording is in a store: what was fetched from its first URL stays."""
    return exists().where(copies.c.recording_id == recording_id, copies.c.sha256.is_not(None))


# --- Stored copies ---------------------------------------------------------------------------------------------------


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


_STORED_COPIES: Select[Any] = (
    select(
        copies.c.id.label("copy_id"),
        recordings.c.recording_uuid,
        *copies.c["recording_id", "storage", "key", "size", "sha256"],
    )
    .join_from(copies, recordings, recordings.c.id == copies.c.recording_id)
    .where(_STORED)
    .order_by(copies.c.recording_id, copies.c.id)
)


def count_stored(database: Database, after: int = 0) -> int:
    """How many stored copies belong to recordings whose rows come after the row `after`."""
    query = select(func.count()).select_from(copies).where(_STORED, copies.c.recording_id > after)
    with database.read() as connection:
        return connection.execute(query).scalar_one()


def stored_pages(database: Database, after: int = 0) -> Iterator[list[StoredCopy]]:
    """The stored copies of the recordings whose rows come after the row `after`, in the order of these rows."""
    last = (after + 1, 0)  # before the first copy of the next recording
    while True:
        later = or_(copies.c.recording_id > last[0], and_(copies.c.recording_id == last[0], copies.c.id > last[1]))
        with database.read() as connection:
            rows = connection.execute(_STORED_COPIES.where(later).limit(_PAGE)).all()
        page = [StoredCopy(**row._mapping) for row in rows]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        last = (page[-1].recording_id, page[-1].copy_id)


# --- Keys ------------------------------------------------------------------------------------------------------------


class CopyKey(NamedTuple):
    """The key that a copy of a recording has; None before it is chosen."""

    recording_uuid: str
    state: State
    key: str | None


def known_keys(database: Database, storage: str, keys: Collection[str]) -> set[str]:
    """Those of these keys that belong to a copy in this storage."""
    query = select(copies.c.key).where(copies.c.storage == storage, copies.c.key.in_(keys))
    with database.read() as connection:
        return {key for key in connection.scalars(query) if key is not None}


def stored_keys(database: Database, storage: str, keys: Collection[str]) -> set[str]:
    """Those of these keys under which this storage has a copy that is stored."""
    query = select(copies.c.key).where(copies.c.storage == storage, copies.c.key.in_(keys), _STORED)
    with database.read() as connection:
        return {key for key in connection.scalars(query) if key is not None}


def keys_of(database: Database, storage: str, recording_uuids: Collection[str]) -> list[CopyKey]:
    """The copies in this storage of the recordings with these uuids."""
    query = select(recordings.c.recording_uuid, *copies.c["state", "key"]).where(
        has_uuid(*recording_uuids),
        recordings.c.id == copies.c.recording_id,
        copies.c.storage == storage,
    )
    with database.read() as connection:
        return [CopyKey(row.recording_uuid, State(row.state), row.key) for row in connection.execute(query)]
