"""The attempts at copies that failed: each one's number, when it ended, what it led to, and its error.

Whoever ends a claim with an error notes the attempt in the same transaction. An attempt that stores its copy has no row
here: the copy's own row says all of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, insert, select

from recordings.clock import iso_utc
from recordings.masking import masked
from recordings.model import Recording, State

from .database import Database
from .tables import attempts, copies, recordings

KEPT = 50  # of each copy; one that is blocked is tried again every hour
_LONGEST = 2000  # characters of an error: a plugin's exception may say anything


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One attempt. `state` is what it led to: waiting, blocked or failed."""

    storage: str
    number: int
    at: datetime
    state: State
    error: str

    def as_json_object(self) -> dict[str, Any]:
        """What can be given to `json.dumps`."""
        plain = {"state": self.state.value, "error": self.error}
        return {"storage": self.storage, "number": self.number, "at": iso_utc(self.at)} | plain


def note_failure(connection: Connection, copy_id: int, number: int, at: datetime, state: State, error: str) -> None:
    """Note an attempt, and forget those of this copy that are older than its newest `KEPT`."""
    row = {"copy_id": copy_id, "number": number, "at": at, "state": state.value, "error": masked(error)[:_LONGEST]}
    connection.execute(insert(attempts), row)
    its_rows = attempts.c.copy_id == copy_id
    newest_surplus = select(attempts.c.id).where(its_rows).order_by(attempts.c.id.desc()).limit(1).offset(KEPT)
    connection.execute(delete(attempts).where(its_rows, attempts.c.id <= newest_surplus.scalar_subquery()))


_LISTED: Select[Any] = (
    select(copies.c.recording_id, copies.c.storage, *attempts.c["number", "at", "state", "error"])
    .join_from(attempts, copies, copies.c.id == attempts.c.copy_id)
    .order_by(attempts.c.id)
)


def failed_attempts(database: Database, recording: Recording) -> list[FailedAttempt]:
    """The failed attempts at all copies of this recording that are still kept, oldest first."""
    same = and_(
        recordings.c.application_id == recording.application_id,
        recordings.c.recording_uuid == recording.recording_uuid,
    )
    query = _LISTED.join(recordings, recordings.c.id == copies.c.recording_id).where(same)
    with database.read() as connection:
        return [_attempt(row) for row in connection.execute(query)]


def attempts_by_row(connection: Connection, recording_ids: Collection[int]) -> dict[int, list[FailedAttempt]]:
    """The same for the recordings in these rows, by row; those without a failed attempt are left out."""
    by_row: dict[int, list[FailedAttempt]] = defaultdict(list)
    for row in connection.execute(_LISTED.where(copies.c.recording_id.in_(recording_ids))):
        by_row[row.recording_id].append(_attempt(row))
    return by_row


def _attempt(row: Row[Any]) -> FailedAttempt:
    return FailedAttempt(row.storage, row.number, row.at, State(row.state), row.error)
